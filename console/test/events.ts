/** Events as the server sends them. */

import type { Iteration, NodeStatusChanged, StatusWord, TaskEvent } from '../src/api/types';

const START = 1_000_000;

export function taskStatus(sequence: number, status: StatusWord, at = sequence): TaskEvent {
  const terminated = !['pending', 'processing'].includes(status);
  return {
    type: 'task_status_changed',
    sequence,
    timestamp: START + at,
    workflowStatus: { status, terminated, startTime: START, timeCost: 0 },
  };
}

export function nodeStatus(sequence: number, id: string, status: StatusWord, more: { at?: number; startedAt?: number; iterations?: Iteration[]; branch?: string; error?: string } = {}): NodeStatusChanged {
  const { at = sequence, startedAt = at, iterations, branch, error } = more;
  const nodeID = id.split('/').at(-1) ?? id;
  const terminated = !['pending', 'processing'].includes(status);
  return {
    type: 'node_status_changed',
    sequence,
    timestamp: START + at,
    nodeID,
    nodeStatus: { status, terminated, startTime: START + startedAt, timeCost: 0 },
    snapshot: { id, nodeID, ...(iterations && { iterations }), ...(branch && { branch }), ...(error && { error }) },
  };
}

export function delta(snapshotID: string, text: string, fromStart = false): TaskEvent {
  return { type: 'output_delta', timestamp: START, nodeID: snapshotID, snapshotID, text, ...(fromStart && { fromStart }) };
}

export function iteration(loopNodeID: string, index: number): Iteration {
  return { loopNodeID, index };
}

export const time = (at: number) => START + at;
