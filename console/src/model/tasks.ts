/** The list of tasks: pages, and changes as they come, without rows that jump. */

import { STATUSES, type StatusWord, type TaskSummary } from '../api/types';

export interface TaskFilter {
  statuses: readonly StatusWord[];
  labels: readonly string[];
  /** A part of the name, or the beginning of the id. The server does not look for these. */
  name: string;
  /** One of the keys of `SPANS`, or empty. */
  created: string;
}

const MINUTE = 60_000;
export const SPANS: Readonly<Record<string, number>> = { '15m': 15 * MINUTE, '1h': 60 * MINUTE, '24h': 1440 * MINUTE, '7d': 10_080 * MINUTE };

export function filterOf(query: URLSearchParams): TaskFilter {
  const known = new Set<string>(STATUSES);
  const created = query.get('created') ?? '';
  return {
    statuses: query.getAll('status').filter((each): each is StatusWord => known.has(each)),
    labels: query.getAll('label').filter((each) => each.indexOf('=') > 0),
    name: query.get('name') ?? '',
    created: created in SPANS ? created : '',
  };
}

export function fits(task: TaskSummary, filter: TaskFilter, now: number): boolean {
  if (filter.statuses.length > 0 && !filter.statuses.includes(task.workflowStatus.status)) return false;
  for (const label of filter.labels) {
    const equals = label.indexOf('=');
    if (task.labels[label.slice(0, equals)] !== label.slice(equals + 1)) return false;
  }
  const span = SPANS[filter.created];
  if (span !== undefined && task.createTime < now - span) return false;
  const name = filter.name.trim().toLowerCase();
  return name === '' || nameOf(task).toLowerCase().includes(name) || task.taskID.toLowerCase().startsWith(name);
}

export function nameOf(task: TaskSummary): string {
  return task.displayName ?? '';
}

/** Milliseconds between acceptance and start; until now, or its end, for a task that has not started. */
export function queueTime(task: TaskSummary, now: number): number {
  const { startTime, endTime } = task.workflowStatus;
  return Math.max(0, (startTime || endTime || now) - task.createTime);
}

/** Milliseconds that a task has run; undefined if it has not. */
export function runTime(task: TaskSummary, now: number): number | undefined {
  const { startTime, endTime } = task.workflowStatus;
  return startTime ? Math.max(0, (endTime ?? now) - startTime) : undefined;
}

/** Tasks by id, newest first. New ones are held back until they are asked for, unless `reveal` is set. */
export class TaskCollection {
  #tasks = new Map<string, TaskSummary>();
  #hidden = new Set<string>();
  #oldest = Infinity;

  /** Takes what was listed: it is shown. */
  list(tasks: readonly TaskSummary[]): void {
    for (const task of tasks) {
      this.#merge(task);
      this.#oldest = Math.min(this.#oldest, task.createTime);
    }
  }

  /** Takes changes. A task that was never shown appears among the others, or is held back, as `reveal` says.
   *
   * What is older than all that was listed belongs to a page that is not loaded yet, unless all are (`complete`).
   */
  change(tasks: readonly TaskSummary[], options: { reveal: boolean; complete: boolean; fits: (task: TaskSummary) => boolean }): void {
    for (const task of tasks) {
      const known = this.#tasks.has(task.taskID);
      if (!options.fits(task)) {
        if (known) this.#remove(task.taskID);
        continue;
      }
      if (!known && !options.complete && task.createTime < this.#oldest) continue;
      if (!known && !options.reveal) this.#hidden.add(task.taskID);
      this.#merge(task);
    }
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) this.#remove(id);
  }

  revealAll(): void {
    this.#hidden.clear();
  }

  get(id: string): TaskSummary | undefined {
    return this.#tasks.get(id);
  }

  get heldBack(): number {
    return this.#hidden.size;
  }

  get size(): number {
    return this.#tasks.size;
  }

  shown(): TaskSummary[] {
    return [...this.#tasks.values()]
      .filter((task) => !this.#hidden.has(task.taskID))
      .sort((one, other) => other.createTime - one.createTime || (one.taskID < other.taskID ? 1 : -1));
  }

  #merge(task: TaskSummary): void {
    const known = this.#tasks.get(task.taskID);
    // Two answers may cross: the one that has seen more events is right.
    if (known && (known.lastSequence ?? 0) > (task.lastSequence ?? 0)) return;
    if (known?.workflowStatus.terminated && !task.workflowStatus.terminated) return;
    this.#tasks.set(task.taskID, task);
  }

  #remove(id: string): void {
    this.#tasks.delete(id);
    this.#hidden.delete(id);
  }
}
