/** Running a workflow many times over one stream, through any number of connections. */

import { randomUUID } from "node:crypto";

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";

import type { CallSettings, Connection, RuntimeStub } from "./connection.js";
import { ResourceExhaustedError, UnavailableError, type RequestError } from "./errors.js";
import type {
  BatchOutcome as WireOutcome,
  BatchRunSchema,
  TaskRunBatchRequestSchema,
  TaskRunBatchResponse,
  TaskRunRequestSchema,
  TaskRunResponse,
} from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
import { toText, type JsonSource } from "./json.js";
import { errorFromStatus, unavailable } from "./status.js";
import { mayResume, ResponseStream } from "./watch.js";

/** One run of a batch. */
export interface BatchRun {
  /** Comes back with the outcome; need not be unique. Default: "". */
  readonly key?: string | undefined;
  /** The workflow's inputs, as an object or as JSON text. */
  readonly inputs?: JsonSource | undefined;
  /** Added to those of the batch. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Replaces that of the batch. */
  readonly displayName?: string | undefined;
  /** Makes it safe to send the run again in another batch. Default: the one that the batch makes. */
  readonly requestId?: string | undefined;
}

/** The runs of a batch: any iterable, however long. */
export type BatchRuns = Iterable<BatchRun> | AsyncIterable<BatchRun>;

/** What became of one run: a response or a refusal. */
export interface RawOutcome {
  readonly index: number;
  readonly key: string;
  readonly response: TaskRunResponse | undefined;
  readonly refusal: RequestError | undefined;
}

type Run = MessageInitShape<typeof BatchRunSchema>;
type BatchRequest = MessageInitShape<typeof TaskRunBatchRequestSchema>;
type Defaults = MessageInitShape<typeof TaskRunRequestSchema>;

const WINDOW = 256;
const MESSAGE_RUNS = 64;
const MESSAGE_LENGTH = 1024 * 1024;

/**
 * What becomes of the runs, as it comes.
 *
 * @param defaults what the runs have in common; its `requestId`, if it is not empty, begins theirs
 * @param maxInFlight so many runs may be without an outcome at once; 0: a default
 */
export async function* runBatch(
  connection: Connection,
  defaults: Defaults,
  runs: BatchRuns,
  maxInFlight: number,
  settings: CallSettings,
): AsyncGenerator<RawOutcome, void> {
  const batch = new Batch(connection, defaults, maxInFlight, settings.signal);
  const deadline = connection.deadline(settings.timeoutMs);
  void batch.pull(runs);
  let connected = false;
  try {
    for (let failures = 0; ;) {
      const closed = new AbortController();
      const begin = (stub: RuntimeStub, options: CallOptions) =>
        stub.taskRunBatch(batch.requests(closed.signal), options);
      const stream = new ResponseStream(connection, begin, settings, deadline);
      try {
        for (;;) {
          const response = await stream.read(undefined);
          if (response === undefined) {
            throw unavailable("the batch has ended before its last outcome");
          }
          connected = true;
          failures = 0;
          yield* batch.received(response);
        }
      } catch (thrown) {
        if (batch.failure !== undefined) {
          throw batch.failure.thrown;
        }
        if (batch.finished) {
          return;
        }
        const error = connection.failure(thrown, settings.signal);
        if (!mayResume(error, connected, failures)) {
          throw error;
        }
        failures++;
        closed.abort();
        stream.close();
        await connection.pause(error, failures, connection.reconnect, deadline, settings.signal);
      } finally {
        closed.abort();
        batch.wake();
        stream.close();
      }
    }
  } finally {
    batch.end();
  }
}

interface Pending {
  readonly key: string;
  readonly message: Run;
  /** For now, in a row. */
  refusals: number;
  /** It was refused for now, and is sent again a little later. */
  waiting: boolean;
}

/** The runs of one batch, and which of them have no outcome yet. */
class Batch {
  /** What the iterable of the runs threw. */
  failure: { readonly thrown: unknown } | undefined;
  private readonly id: string;
  private readonly first: BatchRequest;
  private readonly window: number;
  private readonly pending = new Map<number, Pending>();
  /** Those of `pending` that are to be sent on the stream that is open. */
  private outgoing: number[] = [];
  private next = 0;
  private drained = false;
  private ended = false;
  private waiting: (() => void)[] = [];

  constructor(
    private readonly connection: Connection,
    defaults: Defaults,
    maxInFlight: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.id = defaults.requestId || randomUUID();
    this.first = { defaults: { ...defaults, requestId: "" }, maxInFlight };
    this.window = maxInFlight || WINDOW;
  }

  /** Whether every run has its outcome, and no more will come. */
  get finished(): boolean {
    return this.drained && this.pending.size === 0;
  }

  /** Take the runs, as there is room for them. */
  async pull(runs: BatchRuns): Promise<void> {
    try {
      for await (const run of runs) {
        while (this.pending.size >= this.window && !this.ended) {
          await this.change();
        }
        if (this.ended) {
          return;
        }
        this.add(run);
      }
    } catch (thrown) {
      this.failure = { thrown };
    }
    this.drained = true;
    this.wake();
  }

  /** What is sent on one stream: what has no outcome yet, and then what comes, until the stream is closed. */
  async *requests(closed: AbortSignal): AsyncGenerator<BatchRequest, void> {
    this.outgoing = [...this.pending.keys()];
    for (const run of this.pending.values()) {
      run.waiting = false;
    }
    yield this.first;
    while (!closed.aborted && !this.ended) {
      if (this.failure !== undefined) {
        throw this.failure.thrown;
      }
      const runs = this.take();
      if (runs.length > 0) {
        yield { runs };
      } else if (this.finished) {
        return;
      } else {
        await this.change();
      }
    }
  }

  /** The outcomes in a response; those of runs that are sent again are left out. */
  *received(response: TaskRunBatchResponse): Generator<RawOutcome, void> {
    for (const reported of response.outcomes) {
      const outcome = this.outcome(reported);
      if (outcome !== undefined) {
        this.pending.delete(outcome.index);
        this.wake();
        yield outcome;
      }
    }
  }

  /** Take no further runs. */
  end(): void {
    this.ended = true;
    this.wake();
  }

  /** Let everything look again at what there is to do. */
  wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const proceed of waiting) {
      proceed();
    }
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private add({ key = "", inputs, labels, displayName = "", requestId = "" }: BatchRun): void {
    const index = this.next++;
    const request = {
      inputs: inputs === undefined ? "" : toText(inputs, `runs[${index}].inputs`),
      labels: { ...labels },
      displayName,
      requestId: requestId || `${this.id}/${index}`,
    };
    this.pending.set(index, { key, message: { key: String(index), request }, refusals: 0, waiting: false });
    this.outgoing.push(index);
    this.wake();
  }

  /** Runs for one request. */
  private take(): Run[] {
    const runs: Run[] = [];
    let length = 0;
    while (this.outgoing.length > 0 && runs.length < MESSAGE_RUNS && length < MESSAGE_LENGTH) {
      const run = this.pending.get(this.outgoing.shift() ?? -1)?.message;
      if (run !== undefined) {
        runs.push(run);
        length += run.request?.inputs?.length ?? 0;
      }
    }
    return runs;
  }

  private outcome({ key, result }: WireOutcome): RawOutcome | undefined {
    const index = Number(key);
    const run = this.pending.get(index);
    if (run === undefined) {
      return undefined; // it was sent twice, and its first outcome counts
    }
    switch (result.case) {
      case "outcome":
        return { index, key: run.key, response: result.value, refusal: undefined };
      case "rejected": {
        const refusal = errorFromStatus(result.value);
        return this.retries(index, run, refusal) ? undefined : { index, key: run.key, response: undefined, refusal };
      }
      default:
        return undefined; // one that came after this version
    }
  }

  /** Whether a run that was refused for now is sent again, after a wait. */
  private retries(index: number, run: Pending, refusal: RequestError): boolean {
    const forNow =
      refusal instanceof UnavailableError ||
      (refusal instanceof ResourceExhaustedError && refusal.retryAfterMs !== undefined);
    const { reconnect } = this.connection;
    const delay = forNow ? this.connection.delay(refusal, ++run.refusals, reconnect) : undefined;
    if (delay === undefined) {
      return false;
    }
    run.waiting = true;
    const again = () => {
      if (run.waiting) {
        run.waiting = false; // else a new stream has sent it already
        this.outgoing.push(index);
        this.wake();
      }
    };
    this.connection.sleep(delay, this.signal).then(again, () => undefined); // the batch has ended
    return true;
  }
}
