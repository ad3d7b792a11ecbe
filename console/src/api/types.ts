/** The shapes of the REST API, as docs/rest.md describes them. Times are milliseconds since the epoch. */

import type { Json, JsonObject } from './json';

export const STATUSES = ['pending', 'processing', 'succeeded', 'failed', 'canceled'] as const;
export type StatusWord = (typeof STATUSES)[number];

export interface StatusInfo {
  status: StatusWord;
  terminated: boolean;
  /** 0: not started. */
  startTime: number;
  endTime?: number;
  timeCost: number;
}

export interface TaskSummary {
  taskID: string;
  workflowStatus: StatusInfo;
  createTime: number;
  labels: Record<string, string>;
  displayName?: string;
  lastSequence?: number;
}

export interface TaskPage {
  tasks: TaskSummary[];
  nextPageToken?: string;
}

/** A task with what it runs; secrets in it are masked. */
export interface Task extends TaskSummary {
  /** The workflow, JSON text. */
  schema: string;
  inputs: JsonObject;
  /** Milliseconds; absent: none. */
  timeout?: number;
  lastSequence: number;
}

export interface Iteration {
  loopNodeID: string;
  index: number;
}

export interface SnapshotNews {
  id: string;
  nodeID: string;
  iterations?: Iteration[];
  inputs?: Json;
  outputs?: Json;
  branch?: string;
  error?: string;
}

export type MessageWord = 'log' | 'info' | 'debug' | 'error' | 'warning';

export interface Message {
  id: string;
  type: MessageWord;
  message: string;
  nodeID?: string;
  timestamp: number;
}

interface Happened {
  timestamp: number;
  /** Absent: live only, not part of the log. */
  sequence?: number;
}

export interface TaskStatusChanged extends Happened {
  type: 'task_status_changed';
  workflowStatus: StatusInfo;
  outputs?: JsonObject;
}

export interface NodeStatusChanged extends Happened {
  type: 'node_status_changed';
  nodeID: string;
  nodeStatus: StatusInfo;
  snapshot: SnapshotNews;
}

export interface MessageSaid extends Happened {
  type: 'message';
  message: Message;
}

export interface OutputDelta extends Happened {
  type: 'output_delta';
  nodeID: string;
  snapshotID: string;
  text: string;
  /** The text is all there is so far, and replaces what was shown. */
  fromStart?: boolean;
}

/** Of a kind that came after this version: it has a place in the log, and is skipped. */
export interface UnknownEvent extends Happened {
  type: 'unknown';
}

export type TaskEvent = TaskStatusChanged | NodeStatusChanged | MessageSaid | OutputDelta | UnknownEvent;

export interface TasksChanged {
  type: 'tasks_changed';
  tasks?: TaskSummary[];
  removedTaskIDs?: string[];
}

/** What is listed from now on misses nothing. */
export interface WatchIsLive {
  type: 'live';
}

export interface ServerInfo {
  name: string;
  title: string;
  version: string;
  runtime: string;
  /** RFC 3339. */
  time: string;
  nodeTypes: string[];
  features?: string[];
  /** Who calls, where the server asks for credentials. */
  caller?: Caller;
}

export interface Caller {
  name: string;
  /** That the request was about. */
  namespace: string;
  role: string;
}

export interface Validation {
  valid: boolean;
  errors?: string[];
}

export interface RunRequest {
  schema: string;
  inputs: Json;
  displayName?: string;
  labels?: Record<string, string>;
  requestID: string;
}
