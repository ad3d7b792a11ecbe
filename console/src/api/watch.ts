/** The events of one task, and the tasks of a filter, as they come. */

import { readBody } from './body';
import { messageOf, NotFound, ServerAway, type RequestFailed } from './errors';
import { EventDecoder, PROTOBUF } from './events';
import { parseJson } from './json';
import { address, checkType, send, type Query } from './request';
import { EventParser } from './sse';
import { openStream, type StreamState } from './stream';
import type { TaskEvent, TasksChanged, WatchIsLive } from './types';

const SILENCE = 30_000;

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
    accept: PROTOBUF,
    receive: () => {
      const decoder = new EventDecoder();
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

/** One event of a task with all its values; undefined if there is none. */
export async function eventAt(taskID: string, sequence: number, signal: AbortSignal): Promise<TaskEvent | undefined> {
  const path = address('/api/task/watch', { taskID, after: sequence - 1, until: sequence });
  const response = await send(path, { signal, headers: { Accept: PROTOBUF } });
  if (response.status === 204) return undefined;
  checkType(response, PROTOBUF);
  const decoder = new EventDecoder();
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
    accept: 'text/event-stream',
    receive: () => {
      const parser = new EventParser();
      return (bytes) => {
        for (const event of parser.push(bytes)) {
          if (event.event === 'failure') throw new ServerAway(messageOf(event.data));
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
