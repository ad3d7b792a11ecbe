/** The events of one task, and the tasks of a filter, as they come. */

import { readBody } from './body';
import { messageOf, NotFound, ServerAway, type RequestFailed } from './errors';
import { EventDecoder, PROTOBUF } from './events';
import { parseJson } from './json';
import { address, send, typeOf, type Query } from './request';
import { EventParser, type SentEvent } from './sse';
import { openStream, type StreamState } from './stream';
import type { TaskEvent, TasksChanged, WatchIsLive } from './types';

const SILENCE = 30_000;

const SERVER_SENT_EVENTS = 'text/event-stream';
/** The gateways in Go and TypeScript know the second one only. */
const EVENT_TYPES = [PROTOBUF, SERVER_SENT_EVENTS];

export interface TaskWatch {
  taskID: string;
  /** Also the JSON of inputs and outputs. */
  values: boolean;
  /** The sequence of the last event that was seen. */
  after: () => number;
  onEvents: (events: TaskEvent[]) => void;
  onConnect: () => void;
  onState: (state: StreamState) => void;
  onError: (error: RequestFailed) => void;
}

/** Watches a task until it has terminated; returns what ends the watch. */
export function watchTask(watch: TaskWatch): () => void {
  const view = watch.values ? 'full' : 'basic';
  return openStream({
    address: () => address('/api/task/watch', { taskID: watch.taskID, after: watch.after(), deltas: true, view }),
    accept: EVENT_TYPES,
    receive: (type) => {
      const decoder = decoderOf(type, watch.values);
      return (bytes) => {
        const events = decoder.push(bytes);
        if (events.length === 0) return false;
        watch.onEvents(events);
        return events.some((event) => event.type === 'task_status_changed' && event.workflowStatus.terminated);
      };
    },
    onConnect: watch.onConnect,
    onState: watch.onState,
    onError: watch.onError,
  });
}

/** What reads the events of a task in one of the types. Without values, no number in them has more digits than a double holds. */
function decoderOf(type: string, values: boolean): { push(bytes: Uint8Array): TaskEvent[] } {
  if (type === PROTOBUF) return new EventDecoder();
  const parser = new EventParser();
  return {
    push: (bytes) => {
      const sent = parser.push(bytes);
      if (sent.length === 0) return [];
      sent.forEach(checkFailure);
      // One text: to parse many small ones takes half as long again.
      const text = `[${sent.map((each) => each.data).join(',')}]`;
      return (values ? parseJson(text) : JSON.parse(text)) as TaskEvent[];
    },
  };
}

function checkFailure(event: SentEvent): void {
  if (event.event === 'failure') throw new ServerAway(messageOf(event.data));
}

/** One event of a task with all its values; undefined if there is none. */
export async function eventAt(taskID: string, sequence: number, signal: AbortSignal): Promise<TaskEvent | undefined> {
  const path = address('/api/task/watch', { taskID, after: sequence - 1, until: sequence });
  const response = await send(path, { signal, headers: { Accept: EVENT_TYPES.join(', ') } });
  if (response.status === 204) return undefined;
  const decoder = decoderOf(typeOf(response, EVENT_TYPES), true);
  let found: TaskEvent | undefined;
  await readBody(response, SILENCE, (bytes) => {
    found = decoder.push(bytes)[0];
    return found !== undefined;
  });
  return found;
}

export interface TasksWatch {
  query: Query;
  onChange: (change: TasksChanged) => void;
  /** The tasks are to be listed: what happens from now on is reported. */
  onLive: () => void;
  onState: (state: StreamState) => void;
  onError: (error: RequestFailed) => void;
}

/** Watches the tasks of a filter; returns what ends the watch. */
export function watchTasks(watch: TasksWatch): () => void {
  return openStream({
    address: () => address('/api/tasks/watch', watch.query),
    accept: [SERVER_SENT_EVENTS],
    receive: () => {
      const parser = new EventParser();
      return (bytes) => {
        for (const event of parser.push(bytes)) {
          checkFailure(event);
          const received = parseJson(event.data) as unknown as TasksChanged | WatchIsLive;
          if (received.type === 'live') watch.onLive();
          else if (received.type === 'tasks_changed') watch.onChange(received);
        }
        return false;
      };
    },
    onState: watch.onState,
    onError: watch.onError,
  });
}

/** Whether a server has no such path: it is older than this page. */
export function isUnknownPath(error: unknown): boolean {
  return error instanceof NotFound && error.code === 'NOT_FOUND';
}
