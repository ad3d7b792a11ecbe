/** Watching a task through any number of streams: each event once, in order. */

import type { CallOptions } from "@connectrpc/connect";

import type { CallSettings, Connection, RuntimeStub } from "./connection.js";
import { UnavailableError, type RequestError } from "./errors.js";
import type { TaskEvent } from "./gen/flowgram/runtime/v1/event_pb.js";
import type { View } from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
import { unavailable } from "./status.js";
import { durationFrom, type Deadline } from "./timing.js";

// So many heartbeats in a row that did not come mean that the connection is dead.
const SILENT_HEARTBEATS = 3;

// The contract promises heartbeats no more often than this, whatever is asked for.
const SHORTEST_HEARTBEAT_MS = 100;

// How long a stream may take to end after the event that ends the task: everything has been sent by then.
const FAREWELL_MS = 1000;

// The server ends a watch of tasks with this reason that is too slow for it: open it again.
const WATCH_BEHIND = "WATCH_BEHIND";
const CREDENTIALS_INVALID = "CREDENTIALS_INVALID";

/** What to watch, and how. `timeoutMs` is for the whole watch. */
export interface WatchSettings extends CallSettings {
  readonly taskId: string;
  readonly afterSequence: number;
  readonly view: View;
  readonly deltas: boolean;
  /** Milliseconds; undefined asks for none, and never takes the server for dead. */
  readonly heartbeatMs: number | undefined;
}

/** The last sequence that a watch has seen. */
export class Cursor {
  /** The task's last event was seen: nothing comes after it. */
  terminated = false;

  constructor(public sequence: number) {}

  /**
   * Whether the event is new. What is not durable always is.
   *
   * @throws UnavailableError if events are missing before it: the stream must be opened again after `sequence`
   */
  accept(event: TaskEvent): boolean {
    const sequence = Number(event.sequence);
    if (sequence === 0) {
      return true;
    }
    if (sequence <= this.sequence) {
      return false;
    }
    if (sequence !== this.sequence + 1) {
      throw unavailable(`event ${sequence} came after event ${this.sequence}`);
    }
    this.sequence = sequence;
    if (event.event.case === "taskStatusChanged") {
      this.terminated = event.event.value.status?.terminated ?? false;
    }
    return true;
  }
}

/** The events of a task, as the contract has them. */
export async function* watch(connection: Connection, settings: WatchSettings): AsyncGenerator<TaskEvent, void> {
  const { signal } = settings;
  const deadline = connection.deadline(settings.timeoutMs);
  const timeoutMs = silenceAfter(settings.heartbeatMs);
  const cursor = new Cursor(settings.afterSequence);
  let connected = false;
  let failures = 0;
  for (;;) {
    const request = requestAfter(cursor.sequence, settings);
    const begin = (stub: RuntimeStub, options: CallOptions) => stub.watchTask(request, options);
    const stream = new ResponseStream(connection, begin, settings, deadline);
    try {
      for (;;) {
        const complete = cursor.terminated; // then one more read, which lets the stream end by itself
        const response = await stream.read(complete ? FAREWELL_MS : timeoutMs);
        if (response === undefined || complete) {
          return;
        }
        connected = true;
        if (response.events.length === 0) {
          failures = 0; // a heartbeat
        }
        for (const event of response.events) {
          if (cursor.accept(event)) {
            failures = 0;
            yield event;
          }
        }
      }
    } catch (thrown) {
      if (cursor.terminated && !signal?.aborted) {
        return; // everything was received; how the stream ended does not matter
      }
      const error = connection.failure(thrown, signal);
      if (!mayResume(error, connected, failures)) {
        throw error;
      }
      failures++;
      stream.close();
      await connection.pause(error, failures, connection.reconnect, deadline, signal);
    } finally {
      stream.close();
    }
  }
}

function requestAfter(afterSequence: number, { taskId, view, deltas, heartbeatMs }: WatchSettings) {
  return {
    taskId,
    view,
    afterSequence: BigInt(afterSequence),
    includeDeltas: deltas,
    ...(heartbeatMs === undefined ? {} : { heartbeat: durationFrom(heartbeatMs) }),
  };
}

/** Milliseconds of silence that mean that the connection is dead; undefined if none do. */
export function silenceAfter(heartbeatMs: number | undefined): number | undefined {
  return heartbeatMs && Math.max(heartbeatMs, SHORTEST_HEARTBEAT_MS) * SILENT_HEARTBEATS;
}

/**
 * Whether opening the stream again, after the last sequence seen, may help.
 *
 * @param connected that the watch had been under way: then a server that has too many watchers just now (all of them
 * come back after a restart) is worth waiting for
 * @param failures those in a row before this one: where there are none, a token that has expired during the stream may have
 * been renewed
 */
export function mayResume(error: RequestError, connected: boolean, failures: number): boolean {
  if (error instanceof UnavailableError || error.reason === WATCH_BEHIND) {
    return true;
  }
  if (!connected) {
    return false;
  }
  if (failures === 0 && error.reason === CREDENTIALS_INVALID) {
    return true;
  }
  // the service names a reason; without one, the connection broke in the middle of a response
  const broken = error.reason === "" && (error.code === "INTERNAL" || error.code === "UNKNOWN");
  return broken || error.retryAfterMs !== undefined;
}

/** One stream of a watch, which counts as dead when it is silent for too long while somebody reads. */
export class ResponseStream<Response> {
  private readonly controller;
  private readonly responses: AsyncIterator<Response>;
  private silent = false;
  private closed = false;

  /** @param begin makes the call */
  constructor(
    connection: Connection,
    begin: (stub: RuntimeStub, options: CallOptions) => AsyncIterable<Response>,
    settings: CallSettings,
    deadline: Deadline,
  ) {
    this.controller = connection.open(settings.signal);
    this.responses = connection.stream(begin, deadline, settings, this.controller.signal);
  }

  /**
   * The next response; undefined at the end.
   *
   * @throws UnavailableError if nothing came for so long; time between two reads is the consumer's, and does not count
   */
  async read(timeoutMs: number | undefined): Promise<Response | undefined> {
    const timer = timeoutMs && setTimeout(() => this.giveUp(), timeoutMs);
    try {
      const { done, value } = await this.responses.next();
      return done === true ? undefined : value;
    } catch (error) {
      throw this.silent ? unavailable(`the server has been silent for ${timeoutMs} ms`) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** End the stream; the server is notified. */
  close(): void {
    if (this.closed) {
      return;
    }
    this.closed = true;
    this.controller.abort();
    this.controller.release();
    // the transport lets go of its timers only when it is asked once more
    this.responses.next().catch(() => undefined);
  }

  private giveUp(): void {
    this.silent = true;
    this.controller.abort();
  }
}
