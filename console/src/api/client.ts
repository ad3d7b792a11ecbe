/** The calls of the REST API. Each throws one of `errors.ts`. */

import type { JsonObject } from './json';
import { getJson, send, sendJson, type Query } from './request';
import type { RunRequest, ServerInfo, Task, TaskPage, Validation } from './types';

export const api = {
  info: (signal?: AbortSignal) => getJson<ServerInfo>('/api/info', {}, signal),

  tasks: (query: Query, signal?: AbortSignal) => getJson<TaskPage>('/api/tasks', query, signal),

  task: (taskID: string, signal?: AbortSignal) => getJson<Task>('/api/task', { taskID }, signal),

  result: (taskID: string, signal?: AbortSignal) => getJson<JsonObject>('/api/task/result', { taskID }, signal),

  validate: (schema: string, inputs: unknown, signal?: AbortSignal) =>
    sendJson<Validation>('POST', '/api/task/validate', { schema, inputs }, signal),

  run: (request: RunRequest) => sendJson<{ taskID: string }>('POST', '/api/task/run', request),

  cancel: (taskID: string) => sendJson<{ success: boolean }>('PUT', '/api/task/cancel', { taskID }),

  /** Exchanges a key for a cookie that scripts cannot read. The key is kept nowhere. */
  signIn: (key: string) => sendJson<unknown>('POST', '/api/session', { key }),

  signOut: () => send('/api/session', { method: 'DELETE' }),
};
