/** Watching the tasks of a filter through any number of streams. */

import type { CallOptions } from "@connectrpc/connect";

import type { CallSettings, Connection, RuntimeStub } from "./connection.js";
import type { Status } from "./gen/flowgram/runtime/v1/report_pb.js";
import type { WatchTasksResponse } from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
import { unavailable } from "./status.js";
import { durationFrom } from "./timing.js";
import { mayResume, ResponseStream, silenceAfter } from "./watch.js";

/** Which tasks to watch, and how. `timeoutMs` is for the whole watch. */
export interface WatchTasksSettings extends CallSettings {
  readonly statuses: Status[];
  readonly labels: Record<string, string>;
  /** Milliseconds; undefined asks for none, and never takes the server for dead. */
  readonly heartbeatMs: number | undefined;
}

/** The changes, as the contract has them; undefined comes first, and again after each connection that was lost. */
export async function* watchTasks(
  connection: Connection,
  settings: WatchTasksSettings,
): AsyncGenerator<WatchTasksResponse | undefined, void> {
  const { statuses, labels, heartbeatMs, signal } = settings;
  const deadline = connection.deadline(settings.timeoutMs);
  const timeoutMs = silenceAfter(heartbeatMs);
  const request = {
    statuses,
    labels,
    ...(heartbeatMs === undefined ? {} : { heartbeat: durationFrom(heartbeatMs) }),
  };
  const begin = (stub: RuntimeStub, options: CallOptions) => stub.watchTasks(request, options);
  let connected = false;
  for (let failures = 0; ;) {
    const stream = new ResponseStream(connection, begin, settings, deadline);
    try {
      for (let live = false; ;) {
        const response = await stream.read(timeoutMs);
        if (response === undefined) {
          throw unavailable("the watch of tasks has ended");
        }
        connected = true;
        failures = 0;
        if (!live) {
          live = true;
          yield undefined;
        }
        if (response.tasks.length > 0 || response.removedTaskIds.length > 0) {
          yield response;
        } // else a heartbeat
      }
    } catch (thrown) {
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
