/** Watches as Server-Sent Events: the events of a task, and the changes of tasks. */

import type { TaskEvent } from "../src/contract.js";
import type { Operations } from "../src/operations.js";
import { changeShape, encode, eventShape } from "./encoding.js";
import type { Exchange } from "./exchange.js";
import type { Problem } from "./problem.js";
import { Parameters } from "./request.js";

// How often the server shows that it is there: by this the gateway finds out that a connection to it is dead.
const SERVER_HEARTBEAT_MS = 10_000;

/** How streams behave. */
export interface StreamSettings {
  /** Milliseconds after which a silent stream sends a comment. */
  readonly heartbeatMs: number;
  /** Milliseconds that a stream may wait for its first event before it is answered. */
  readonly openDelayMs: number;
  /** Milliseconds for which a client may read nothing while something waits for it. */
  readonly writeTimeoutMs: number;
  /** The problem for what was thrown. */
  readonly describe: (thrown: unknown) => Problem;
}

/** `GET /api/task/watch` */
export async function watch(operations: Operations, exchange: Exchange, settings: StreamSettings): Promise<void> {
  const parameters = new Parameters(exchange.query);
  const lastEventId = exchange.request.headers["last-event-id"];
  const watchSettings = {
    ...exchange.settings,
    taskId: parameters.taskId(),
    signal: exchange.untilStopping,
    afterSequence: parameters.sequence(typeof lastEventId === "string" ? lastEventId : undefined),
    view: parameters.view(),
    deltas: parameters.flag("deltas"),
    heartbeatMs: SERVER_HEARTBEAT_MS,
  };
  const until = parameters.until();
  parameters.check();
  await forward(operations, exchange, settings, upTo(until, operations.watch(watchSettings)), (event) => {
    const shape = eventShape(event);
    if (shape === undefined) {
      return "";
    }
    // what is not durable has no id, so that nobody resumes after it
    return `${event.sequence === 0n ? "" : `id: ${event.sequence}\n`}data: ${encode(shape)}\n\n`;
  });
}

/** Events up to the one with a sequence. */
async function* upTo(until: number, events: AsyncIterable<TaskEvent>): AsyncGenerator<TaskEvent, void> {
  for await (const event of events) {
    yield event;
    if (event.sequence >= until) {
      return;
    }
  }
}

/** `GET /api/tasks/watch` */
export async function watchTasks(operations: Operations, exchange: Exchange, settings: StreamSettings): Promise<void> {
  const parameters = new Parameters(exchange.query);
  const watchSettings = {
    ...exchange.settings,
    signal: exchange.untilStopping,
    statuses: parameters.statuses(),
    labels: parameters.labels(),
    heartbeatMs: SERVER_HEARTBEAT_MS,
  };
  parameters.check();
  await forward(operations, exchange, settings, operations.watchTasks(watchSettings), (change) => {
    return `data: ${encode(change === undefined ? { type: "live" } : changeShape(change))}\n\n`;
  });
}

/** Answer with what a watch gives. Nothing is read from the server while the client does not read. */
async function forward<T>(
  operations: Operations,
  exchange: Exchange,
  settings: StreamSettings,
  items: AsyncIterable<T>,
  frame: (item: T) => string,
): Promise<void> {
  const signal = exchange.untilStopping;
  const stream = new EventStream(exchange, settings);
  if (exchange.stopping.aborted) {
    stream.open(); // and end it: to any refusal, a browser would not come back
    stream.close();
    return;
  }
  // says at once what the watch itself would try to wait out: that there is no server
  await operations.info(exchange.settings);
  // until then a refusal of the watch, or its end, may still become the status of the answer
  const opening = setTimeout(() => stream.open(), settings.openDelayMs);
  try {
    for await (const item of items) {
      await stream.write(frame(item), signal);
    }
    if (!stream.opened) {
      exchange.response.writeHead(204).end(); // which tells a browser not to come back
    }
  } catch (thrown) {
    if (exchange.stopping.aborted && signal.aborted && !exchange.left) {
      stream.open(); // the client comes back to another gateway
    } else if (!stream.opened) {
      throw thrown;
    } else if (!signal.aborted) {
      stream.fail(settings.describe(thrown));
    } // else the client has left
  } finally {
    clearTimeout(opening);
    stream.close();
  }
}

/** Writes Server-Sent Events; opened with the first one. */
class EventStream {
  opened = false;
  private heartbeat: NodeJS.Timeout | undefined;

  constructor(
    private readonly exchange: Exchange,
    private readonly settings: StreamSettings,
  ) {}

  /** Answer the request, if that has not happened yet. */
  open(): void {
    if (this.opened) {
      return;
    }
    this.opened = true;
    const { response } = this.exchange;
    response.writeHead(200, {
      "Content-Type": "text/event-stream; charset=utf-8",
      "Cache-Control": "no-cache, no-transform",
      "X-Accel-Buffering": "no", // proxies are to pass events on as they come
    });
    response.write("retry: 1000\n\n");
    this.heartbeat = setInterval(() => {
      if (!response.writableNeedDrain) {
        response.write(": heartbeat\n\n");
      }
    }, this.settings.heartbeatMs);
  }

  /** Send a whole number of events; resolves when the client has room for more, or has left. */
  async write(text: string, signal: AbortSignal): Promise<void> {
    if (text === "") {
      return;
    }
    this.open();
    const { response } = this.exchange;
    const room = response.write(text);
    this.heartbeat?.refresh();
    if (!room && !signal.aborted) {
      await this.exchange.drained(this.settings.writeTimeoutMs, signal);
    }
  }

  /** Tell why the stream ends before the task does. */
  fail(problem: Problem): void {
    this.exchange.response.write(`event: failure\ndata: ${problem.body()}\n\n`);
  }

  /** End the response, if it was opened. */
  close(): void {
    clearInterval(this.heartbeat);
    if (this.opened) {
      this.exchange.response.end();
    }
  }
}
