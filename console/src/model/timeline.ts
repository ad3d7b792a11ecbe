/** The rows of the time line: one per run, nested by iteration; and their bars. */

import type { StatusWord } from '../api/types';
import { innerScope, isTerminated, type Change, type Run, type Scope, type TaskLog } from './log';

export interface Bar {
  status: StatusWord;
  from: number;
  /** undefined: it goes on. */
  to: number | undefined;
  /** Sequences of the changes at its ends; `toSequence` is Infinity while it goes on. */
  fromSequence: number;
  toSequence: number;
  /** What it became in the end: a bar that ended is shown in that colour. */
  outcome: StatusWord;
}

export interface Row {
  key: string;
  kind: 'queue' | 'run' | 'iteration';
  depth: number;
  nodeID: string;
  /** Of iterations. */
  index: number;
  run: Run | undefined;
  scope: string;
  /** undefined: nothing inside. */
  open: boolean | undefined;
}

export interface TimelineOptions {
  failedOnly: boolean;
  /** Keys of rows that are not as they are by default. */
  toggled: ReadonlySet<string>;
  /** When the task was accepted; 0 if that is not known. */
  createTime: number;
}

const MANY_RUNS = 400;

export function timelineRows(log: TaskLog, options: TimelineOptions): Row[] {
  const rows: Row[] = [];
  const queued = queueBar(log, options.createTime);
  if (queued && !options.failedOnly) rows.push(row('queue', 'queue', 0, ''));
  const root = log.scopes.get('');
  const byDefault = log.runs.size <= MANY_RUNS;

  const runs = (scope: Scope, depth: number): void => {
    for (const run of scope.runs) {
      const iterations = log.iterations(scope.key, run.nodeID);
      if (options.failedOnly && !run.changes.some((change) => change.status === 'failed')) continue;
      const open = iterations.length > 0 ? !options.toggled.has(run.id) : undefined;
      rows.push({ ...row(run.id, 'run', depth, run.nodeID), run, scope: scope.key, open });
      if (!open) continue;
      for (const iteration of iterations) {
        if (options.failedOnly && !iteration.runs.some((each) => each.changes.some((change) => change.status === 'failed'))) continue;
        const key = innerScope(scope.key, run.nodeID, iteration.index);
        const shown = (byDefault || options.failedOnly) !== options.toggled.has(key);
        const entry = row(key, 'iteration', depth + 1, run.nodeID);
        rows.push({ ...entry, index: iteration.index, scope: key, open: shown });
        if (shown) runs(iteration, depth + 2);
      }
    }
  };
  if (root) runs(root, 0);
  return rows;
}

function row(key: string, kind: Row['kind'], depth: number, nodeID: string): Row {
  return { key, kind, depth, nodeID, index: 0, run: undefined, scope: '', open: undefined };
}

/** What a row shows. It is asked only of the rows that are in sight, for there may be many thousands. */
export function barsIn(log: TaskLog, of: Row, createTime: number): Bar[] {
  if (of.run) return barsOf(of.run.changes);
  if (of.kind === 'queue') return [queueBar(log, createTime)].filter((bar) => bar !== undefined);
  const iteration = log.scopes.get(of.scope);
  return iteration ? iterationBars(iteration) : [];
}

/** The time that the task waited before it ran. */
function queueBar(log: TaskLog, createTime: number): Bar | undefined {
  const from = createTime || log.times[0];
  if (!from) return undefined;
  const started = log.changes.find((change) => change.status !== 'pending');
  const to = started?.time;
  if (to !== undefined && to <= from) return undefined;
  return { status: 'pending', from, to, fromSequence: 0, toSequence: started?.sequence ?? Infinity, outcome: 'pending' };
}

/** A bar for each stretch of waiting or running; where a run was begun anew, a bar for each attempt. */
export function barsOf(changes: readonly Change[]): Bar[] {
  const bars: Bar[] = [];
  for (const [index, change] of changes.entries()) {
    if (isTerminated(change.status)) continue;
    const next = changes[index + 1];
    bars.push({
      status: change.status,
      from: change.time,
      to: next?.time,
      fromSequence: change.sequence,
      toSequence: next?.sequence ?? Infinity,
      outcome: next && change.status !== 'pending' && isTerminated(next.status) ? next.status : change.status,
    });
  }
  return bars;
}

function iterationBars(iteration: Scope): Bar[] {
  let from = Infinity;
  let to = 0;
  let fromSequence = Infinity;
  let toSequence = 0;
  let outcome: StatusWord = 'succeeded';
  for (const run of iteration.runs) {
    const first = run.changes[0];
    const last = run.changes.at(-1);
    if (!first || !last) continue;
    from = Math.min(from, first.time);
    fromSequence = Math.min(fromSequence, first.sequence);
    if (!isTerminated(last.status)) {
      to = toSequence = Infinity;
      outcome = 'processing';
      continue;
    }
    to = Math.max(to, last.time);
    toSequence = Math.max(toSequence, last.sequence);
    if (outcome !== 'processing' && (last.status === 'failed' || (last.status === 'canceled' && outcome !== 'failed'))) outcome = last.status;
  }
  if (from === Infinity) return [];
  return [{ status: 'processing', from, to: to === Infinity ? undefined : to, fromSequence, toSequence, outcome }];
}

/** Round steps for the marks of an axis, in milliseconds, so that about `count` fit. */
export function axisStep(span: number, count: number): number {
  const least = Math.max(span / Math.max(count, 1), 1);
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
  return steps.find((step) => step >= least) ?? Math.ceil(least / 864e5) * 864e5;
}
