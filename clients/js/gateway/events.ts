/** `GET /tasks/{id}/events`: the events of a task as Server-Sent Events. */

import { TaskEventSchema, type TaskEvent } from "../src/contract.js";
import { RequestError } from "../src/errors.js";
import type { Operations } from "../src/operations.js";
import { encode } from "./encoding.js";
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
}

/**
 * Forward the events of a task. Nothing is read from the server while the client does not read.
 *
 * @param describe the problem for what was thrown
 */
export async function events(
  operations: Operations,
  exchange: Exchange,
  settings: StreamSettings,
  describe: (thrown: unknown) => Problem,
): Promise<void> {
  const { taskId, untilStopping: signal } = exchange;
  const parameters = new Parameters(exchange.query, "after", "view", "deltas");
  const lastEventId = exchange.request.headers["last-event-id"];
  const watchSettings = {
    ...exchange.settings,
    taskId,
    signal,
    afterSequence: parameters.sequence(typeof lastEventId === "string" ? lastEventId : ""),
    view: parameters.view(),
    deltas: parameters.flag("deltas"),
    heartbeatMs: SERVER_HEARTBEAT_MS,
  };
  parameters.check();
  // this tells soon that there is no such task, or no server, which a watch would wait for
  const terminated = await hasTerminated(operations, exchange);
  const stream = new EventStream(exchange, settings.heartbeatMs);
  // A task that goes on may be silent for long, so its stream is opened before there is anything to tell: by then
  // whatever is wrong with the request has been told. One that has ended may have nothing to tell any more.
  const opening = terminated ? undefined : setTimeout(() => stream.open(), settings.openDelayMs);
  try {
    for await (const event of operations.watch(watchSettings)) {
      await stream.write(event, signal);
    }
    if (!stream.opened) {
      exchange.response.writeHead(204).end(); // which tells a browser not to come back
    }
  } catch (thrown) {
    if (!stream.opened) {
      throw thrown;
    }
    if (!signal.aborted) {
      stream.fail(describe(thrown));
    } // else the client has left, or will come back to another gateway
  } finally {
    clearTimeout(opening);
    stream.close();
  }
}

async function hasTerminated(operations: Operations, { taskId, settings }: Exchange): Promise<boolean> {
  try {
    const { status } = await operations.result(taskId, settings);
    return status?.terminated ?? false;
  } catch (error) {
    if (error instanceof RequestError && error.reason === "MESSAGE_TOO_LARGE") {
      return true; // it has outputs
    }
    throw error;
  }
}

/** Writes Server-Sent Events; opened with the first one. */
class EventStream {
  opened = false;
  private heartbeat: NodeJS.Timeout | undefined;

  constructor(
    private readonly exchange: Exchange,
    private readonly heartbeatMs: number,
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
      "X-Accel-Buffering": "no", // proxies are to pass events on as they come
    });
    response.write("retry: 1000\n\n");
    this.heartbeat = setInterval(() => {
      if (!response.writableNeedDrain) {
        response.write(": heartbeat\n\n");
      }
    }, this.heartbeatMs);
  }

  /** Send an event; resolves when the client has room for more, or has left. */
  async write(event: TaskEvent, signal: AbortSignal): Promise<void> {
    this.open();
    const { response } = this.exchange;
    const id = event.sequence === 0n ? "" : `id: ${event.sequence}\n`;
    const room = response.write(`${id}data: ${encode(TaskEventSchema, event)}\n\n`);
    this.heartbeat?.refresh();
    if (!room && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const proceed = () => {
          response.off("drain", proceed);
          signal.removeEventListener("abort", proceed);
          resolve();
        };
        response.once("drain", proceed);
        signal.addEventListener("abort", proceed);
      });
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
