/** The operations of a client, on the contract's own messages: for the client that programs use, and for gateways. */

import { randomUUID } from "node:crypto";

import type { MessageInitShape } from "@bufbuild/protobuf";

import { runBatch, type BatchRuns, type RawOutcome } from "./batch.js";
import { Connection, type CallSettings, type ClientOptions } from "./connection.js";
import { DeadlineExceededError } from "./errors.js";
import type { TaskEvent } from "./gen/flowgram/runtime/v1/event_pb.js";
import { Status, type Report, type Task } from "./gen/flowgram/runtime/v1/report_pb.js";
import type {
  ServerInfoResponse,
  TaskListRequestSchema,
  TaskListResponse,
  TaskResultResponse,
  TaskRunRequestSchema,
  TaskRunResponse,
  TaskValidateRequestSchema,
  TaskValidateResponse,
  View,
  WatchTasksResponse,
} from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
import { unavailable } from "./status.js";
import { watch, type WatchSettings } from "./watch.js";
import { watchTasks, type WatchTasksSettings } from "./watch_tasks.js";

type RunRequest = MessageInitShape<typeof TaskRunRequestSchema>;

/** The operations of a client of one server. Each throws a RequestError where its call fails. */
export class Operations {
  private readonly connection: Connection;

  /** @throws RangeError if an option makes no sense */
  constructor(options: ClientOptions = {}) {
    this.connection = new Connection(options);
  }

  /** Start a task. */
  run(request: RunRequest, settings: CallSettings = {}): Promise<TaskRunResponse> {
    const repeatable = withRequestId(request);
    return this.connection.quick((stub, options) => stub.taskRun(repeatable, options), settings);
  }

  /** Start a task and wait for its outcome; with a timeout, it may not have ended. */
  async runAndWait(request: RunRequest, settings: CallSettings = {}): Promise<TaskRunResponse> {
    const repeatable = { ...withRequestId(request), wait: true };
    const deadline = this.connection.deadline(settings.timeoutMs);
    const received = await this.connection.call(
      (stub, options) => stub.taskRun(repeatable, options),
      deadline,
      this.connection.reconnect,
      settings,
    );
    const tooLarge = received.status?.status === Status.SUCCEEDED && received.outputs === "";
    if (!tooLarge && (received.status?.terminated || deadline.near)) {
      return received;
    }
    // the server is shutting down, and the task goes on when it is back; or the answer had no room for the outputs
    try {
      const { status, outputs, errors } = await this.wait(received.taskId, { ...settings, timeoutMs: deadline.remaining });
      return { ...received, ...(status && { status }), outputs, errors };
    } catch (error) {
      if (error instanceof DeadlineExceededError) {
        return received; // names the task, which goes on
      }
      throw error;
    }
  }

  /** Run a workflow many times; its request id, if there is one, begins those of the runs. */
  runBatch(
    defaults: RunRequest,
    runs: BatchRuns,
    maxInFlight: number,
    settings: CallSettings = {},
  ): AsyncGenerator<RawOutcome, void> {
    return runBatch(this.connection, defaults, runs, maxInFlight, settings);
  }

  /** The outcome of a task as it is now. */
  result(taskId: string, settings: CallSettings = {}): Promise<TaskResultResponse> {
    return this.connection.quick((stub, options) => stub.taskResult({ taskId }, options), settings);
  }

  /** The outcome of a task when it has ended; with a timeout, it may not have. */
  async wait(taskId: string, settings: CallSettings = {}): Promise<TaskResultResponse> {
    const deadline = this.connection.deadline(settings.timeoutMs);
    for (;;) {
      const received = await this.connection.call(
        (stub, options) => stub.taskResult({ taskId, wait: true }, options),
        deadline,
        this.connection.reconnect,
        settings,
      );
      if (received.status?.terminated || deadline.near) {
        return received;
      }
      // only the server's own end, or a limit of its own, ends the wait so early: the task goes on
      await this.connection.sleep(this.connection.reconnect.initialMs, settings.signal);
    }
  }

  /** Everything known about a task. */
  async report(taskId: string, view: View, settings: CallSettings = {}): Promise<Report> {
    const request = { taskId, view };
    const { report } = await this.connection.quick((stub, options) => stub.taskReport(request, options), settings);
    if (report === undefined) {
      throw unavailable("the server sent a report without content");
    }
    return report;
  }

  /** What a task is, without its events and outcome. */
  async get(taskId: string, settings: CallSettings = {}): Promise<Task> {
    const { task } = await this.connection.quick((stub, options) => stub.taskGet({ taskId }, options), settings);
    if (task === undefined) {
      throw unavailable("the server sent a task without content");
    }
    return task;
  }

  /** Stop a task; whether this call did. */
  async cancel(taskId: string, reason: string, settings: CallSettings = {}): Promise<boolean> {
    const request = { taskId, reason };
    const { success } = await this.connection.quick((stub, options) => stub.taskCancel(request, options), settings);
    return success;
  }

  /** All problems of a schema and its inputs. */
  validate(
    request: MessageInitShape<typeof TaskValidateRequestSchema>,
    settings: CallSettings = {},
  ): Promise<TaskValidateResponse> {
    return this.connection.quick((stub, options) => stub.taskValidate(request, options), settings);
  }

  /** One page of tasks. */
  list(
    request: MessageInitShape<typeof TaskListRequestSchema>,
    settings: CallSettings = {},
  ): Promise<TaskListResponse> {
    return this.connection.quick((stub, options) => stub.taskList(request, options), settings);
  }

  /** What the server says of itself. */
  info(settings: CallSettings = {}): Promise<ServerInfoResponse> {
    return this.connection.quick((stub, options) => stub.serverInfo({}, options), settings);
  }

  /** The events of a task, each once and in order. */
  watch(settings: WatchSettings): AsyncGenerator<TaskEvent, void> {
    return watch(this.connection, settings);
  }

  /** The tasks of a filter as they change; undefined whenever nothing is missed from then on. */
  watchTasks(settings: WatchTasksSettings): AsyncGenerator<WatchTasksResponse | undefined, void> {
    return watchTasks(this.connection, settings);
  }

  /** End all calls, and the connection. */
  close(): void {
    this.connection.close();
  }
}

/** What makes a second attempt safe: the server answers it with the first one's task. */
function withRequestId(request: RunRequest): RunRequest {
  return { ...request, requestId: request.requestId || randomUUID() };
}
