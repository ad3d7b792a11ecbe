/** The events of one task, and the tasks of a filter, as they come. */

import { NotFound } from './errors';
import type { RequestFailed } from './errors';
import { parseJson } from './json';
import { address, send, type Query } from './request';
import { readEvents, type SentEvent } from './sse';
import { openStream, type StreamState } from './stream';
import type { TaskEvent, TasksChanged, WatchIsLive } from './types';

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
    onEvents: (sent) => {
      const events = parseAll(sent, watch.values);
      watch.onEvents(events);
      return events.some((event) => event.type === 'task_status_changed' && event.workflowStatus.terminated);
    },
    onConnect: watch.onConnect,
    onState: watch.onState,
    onError: watch.onError,
  });
}

/** Events as objects. Without values, no number in them has more digits than a double holds. */
function parseAll(sent: readonly SentEvent[], values: boolean): TaskEvent[] {
  // One text: to parse many small ones takes half as long again.
  const text = `[${sent.map((each) => each.data).join(',')}]`;
  return (values ? parseJson(text) : JSON.parse(text)) as TaskEvent[];
}

/** One event of a task with all its values; undefined if there is none. */
export async function eventAt(taskID: string, sequence: number, signal: AbortSignal): Promise<TaskEvent | undefined> {
  const enough = new AbortController();
  const path = address('/api/task/watch', { taskID, after: sequence - 1, until: sequence });
  const response = await send(path, { signal: AbortSignal.any([signal, enough.signal]) });
  if (response.status === 204) return undefined;
  let found: TaskEvent | undefined;
  try {
    await readEvents(response, 30_000, (events) => {
      const first = events[0];
      if (first && !found) {
        found = parseJson(first.data) as unknown as TaskEvent;
        enough.abort(); // an older server goes on with the rest
      }
    });
  } catch (error) {
    if (!found) throw error;
  }
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
    onEvents: (events) => {
      for (const event of events) {
        const received = parseJson(event.data) as unknown as TasksChanged | WatchIsLive;
        if (received.type === 'live') watch.onLive();
        else if (received.type === 'tasks_changed') watch.onChange(received);
      }
      return false;
    },
    onState: watch.onState,
    onError: watch.onError,
  });
}

/** Whether a server has no such path: it is older than this page. */
export function isUnknownPath(error: unknown): boolean {
  return error instanceof NotFound && error.code === 'NOT_FOUND';
}
