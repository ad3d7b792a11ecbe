/** The client that programs use. */

import type { ClientOptions, CallSettings } from "./connection.js";
import type { BatchRuns } from "./batch.js";
import * as convert from "./convert.js";
import type { Event } from "./events.js";
import type { TaskEvent } from "./gen/flowgram/runtime/v1/event_pb.js";
import { View } from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
import { toText, type JsonSource } from "./json.js";
import type {
  BatchOutcome,
  Report,
  Result,
  ServerInfo,
  Status,
  Task,
  TasksChange,
  TaskSummary,
  Validation,
  ViewName,
} from "./models.js";
import { Operations } from "./operations.js";
import { durationFrom } from "./timing.js";

/** What a run takes besides the workflow. */
export interface RunOptions extends CallSettings {
  /** Names this request, so that a program may repeat it even after it was restarted itself. */
  readonly requestId?: string | undefined;
  /** The task fails when it has run for so many milliseconds. */
  readonly taskTimeoutMs?: number | undefined;
  /** To find the task by with `list`. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** A name for people, of at most 256 characters. */
  readonly displayName?: string | undefined;
}

/** What a batch takes. `timeoutMs` is for the whole of it. */
export interface BatchOptions extends RunOptions {
  /** So many runs may be without an outcome at once. Default: 256. */
  readonly maxInFlight?: number | undefined;
}

/** What a watch takes. `timeoutMs` is for the whole of it. */
export interface WatchOptions extends CallSettings {
  /** The sequence of the last event already seen; 0 for all. */
  readonly afterSequence?: number | undefined;
  /** Default: "full". */
  readonly view?: ViewName | undefined;
  /** Also give the text of language models as it arrives. */
  readonly deltas?: boolean | undefined;
  /** How often, in milliseconds, the server shows that it is there while nothing happens. A connection that is silent
   * for three times as long counts as dead, and is made anew. Default: 10,000; Infinity waits for ever. */
  readonly heartbeatMs?: number | undefined;
}

/** Which tasks to list. `timeoutMs` is for each page. */
export interface ListOptions extends CallSettings {
  /** In one of these statuses; any, if none is given. */
  readonly statuses?: readonly Status[] | undefined;
  /** With all of these labels. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Tasks per page, at most 1000. Default: 100. */
  readonly pageSize?: number | undefined;
}

const DEFAULT_HEARTBEAT_MS = 10_000;

/** A client of one server; the connection is made with the first call. */
export function createClient(options: ClientOptions = {}): Client {
  return new Client(options);
}

/**
 * A client of one server. Close it at the end, or declare it with `using`.
 *
 * Every method throws a RequestError where its call fails.
 */
export class Client {
  private readonly operations: Operations;

  /** @throws RangeError if an option makes no sense */
  constructor(options: ClientOptions = {}) {
    this.operations = new Operations(options);
  }

  /**
   * Start a task, and give its id once the server has accepted it durably.
   *
   * Safe to repeat: after UNAVAILABLE the same request is sent again, and never starts a second task.
   *
   * @param schema the workflow, as an object or as JSON text
   * @param inputs the workflow's inputs, likewise
   * @throws InvalidWorkflowError the schema or the inputs are not valid; `violations` lists all that is wrong
   * @throws AlreadyExistsError the request id was used before with a different request
   * @throws ResourceExhaustedError the server runs as many tasks as it may; see `retryAfterMs`
   * @throws InvalidValueError something in the objects is not JSON, such as NaN; nothing was sent
   */
  async run(schema: JsonSource, inputs: JsonSource = {}, options: RunOptions = {}): Promise<string> {
    const { taskId } = await this.operations.run(runRequest(schema, inputs, options), options);
    return taskId;
  }

  /**
   * Start a task, and wait until it has ended; one call where all goes well.
   *
   * How the task ended is no error until its outputs are asked for: `outputsOf(result)` gives them, or throws. With
   * `timeoutMs`, the result may be one that has not ended yet (`terminated` is false); the task goes on.
   *
   * Arguments and errors are those of `run`.
   */
  async runAndWait(schema: JsonSource, inputs: JsonSource = {}, options: RunOptions = {}): Promise<Result> {
    const received = await this.operations.runAndWait(runRequest(schema, inputs, options), options);
    return convert.result(received.taskId, received);
  }

  /**
   * Run a workflow many times over one stream, several times as many per second as single calls, and give the outcomes as
   * they come, in any order. A run that is refused is an outcome, too.
   *
   * The runs are taken as there is room for them: a slow loop slows that down. Where the connection breaks, or the server is
   * restarted, the batch goes on with the runs that have no outcome yet. A run has the request id `requestId/INDEX`, and is
   * not run twice. Leaving the loop ends the batch, and no task that was accepted.
   *
   * @param runs any iterable, however long
   * @throws InvalidValueError something in the inputs of a run is not JSON
   */
  async *runBatch(schema: JsonSource, runs: BatchRuns, options: BatchOptions = {}): AsyncGenerator<BatchOutcome, void> {
    const { inputs: _inputs, ...defaults } = runRequest(schema, {}, options);
    const outcomes = this.operations.runBatch(defaults, runs, options.maxInFlight ?? 0, options);
    for await (const { index, key, response, refusal } of outcomes) {
      yield { index, key, result: response && convert.result(response.taskId, response), refusal };
    }
  }

  /**
   * The outcome of a task: as it is now, or, with `wait`, when it has ended or the timeout is near.
   *
   * @throws TaskNotFoundError no such task
   */
  async result(taskId: string, options: CallSettings & { readonly wait?: boolean | undefined } = {}): Promise<Result> {
    const { wait = false } = options;
    const received = await (wait ? this.operations.wait(taskId, options) : this.operations.result(taskId, options));
    return convert.result(taskId, received);
  }

  /**
   * Everything known about a task now: the runs of every node that has started, and all messages.
   *
   * @throws TaskNotFoundError no such task
   */
  async report(taskId: string, options: CallSettings & { readonly view?: ViewName } = {}): Promise<Report> {
    return convert.report(await this.operations.report(taskId, viewNumber(options.view), options));
  }

  /**
   * Stop a task. True if this call did, false if it had ended already. `reason` is kept as a message.
   *
   * @throws TaskNotFoundError no such task
   */
  async cancel(taskId: string, options: CallSettings & { readonly reason?: string } = {}): Promise<boolean> {
    return this.operations.cancel(taskId, options.reason ?? "", options);
  }

  /**
   * What a task is: its schema and inputs with secrets masked, its labels, name, times and status. Cheap, where `report`
   * gathers all events.
   *
   * @throws TaskNotFoundError no such task
   */
  async get(taskId: string, options: CallSettings = {}): Promise<Task> {
    return convert.task(await this.operations.get(taskId, options));
  }

  /** Check a schema and inputs without running them. What is wrong with them is no error of the call. */
  async validate(schema: JsonSource, inputs: JsonSource = {}, options: CallSettings = {}): Promise<Validation> {
    const request = { schema: toText(schema, "schema"), inputs: toText(inputs, "inputs") };
    return convert.validation(await this.operations.validate(request, options));
  }

  /** Tasks, newest first. A page is asked for when the iteration needs it. */
  async *list(options: ListOptions = {}): AsyncGenerator<TaskSummary, void> {
    const filters = {
      pageSize: options.pageSize ?? 100,
      statuses: (options.statuses ?? []).map(convert.statusNumber),
      labels: { ...options.labels },
    };
    let pageToken = "";
    do {
      const page = await this.operations.list({ ...filters, pageToken }, options);
      for (const task of page.tasks) {
        yield convert.summary(task);
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** What the server says of itself. */
  async info(options: CallSettings = {}): Promise<ServerInfo> {
    return convert.info(await this.operations.info(options));
  }

  /**
   * The events of a task after a sequence: those that were, then each new one, until its last.
   *
   * Every event comes once and in order. Where the connection breaks, or the server restarts, the watch goes on after
   * the last event seen; it gives up when `reconnect` does. A slow consumer slows down only itself. Leaving the loop
   * ends the watch, and never touches the task.
   *
   * @throws TaskNotFoundError no such task
   * @throws SequenceOutOfRangeError `afterSequence` is beyond the last event
   */
  async *watch(taskId: string, options: WatchOptions = {}): AsyncGenerator<Event, void> {
    for await (const received of this.watchRaw(taskId, options)) {
      const event = convert.event(received);
      if (event !== undefined) {
        yield event;
      }
    }
  }

  /**
   * The tasks of a filter as they change, from now on; `pageSize` does not matter, `timeoutMs` is for the whole watch.
   *
   * It never ends by itself: `TasksChange` says how a list stays true through reconnections. It gives up when `reconnect`
   * does. Leaving the loop ends the watch.
   */
  async *watchTasks(options: ListOptions = {}): AsyncGenerator<TasksChange, void> {
    const settings = {
      ...options,
      statuses: (options.statuses ?? []).map(convert.statusNumber),
      labels: { ...options.labels },
      heartbeatMs: DEFAULT_HEARTBEAT_MS,
    };
    for await (const received of this.operations.watchTasks(settings)) {
      yield convert.tasksChange(received);
    }
  }

  /** As `watch`, but gives the contract's messages, with JSON as the text it came in: for gateways. */
  watchRaw(taskId: string, options: WatchOptions = {}): AsyncGenerator<TaskEvent, void> {
    const heartbeatMs = options.heartbeatMs ?? DEFAULT_HEARTBEAT_MS;
    return this.operations.watch({
      ...options,
      taskId,
      afterSequence: options.afterSequence ?? 0,
      view: viewNumber(options.view),
      deltas: options.deltas ?? false,
      heartbeatMs: heartbeatMs === Infinity ? undefined : heartbeatMs,
    });
  }

  /** End the connection; calls under way throw CallCanceledError. A transport of the caller's stays open. */
  close(): void {
    this.operations.close();
  }

  /** `close`, for `using client = createClient(…)`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function runRequest(schema: JsonSource, inputs: JsonSource, options: RunOptions) {
  const { requestId = "", taskTimeoutMs, labels, displayName = "" } = options;
  return {
    schema: toText(schema, "schema"),
    inputs: toText(inputs, "inputs"),
    requestId,
    displayName,
    labels: { ...labels },
    ...(taskTimeoutMs === undefined ? {} : { timeout: durationFrom(taskTimeoutMs) }),
  };
}

function viewNumber(view: ViewName = "full"): View {
  return view === "basic" ? View.BASIC : View.FULL;
}
