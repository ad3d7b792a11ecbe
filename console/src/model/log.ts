/** The log of a task, kept so that its state at any moment can be shown at once.
 *
 * Nothing is folded anew when one looks at another moment: each run keeps the few changes of its status with their sequences, so
 * the state of a graph at a sequence costs a look-up per node. Runs are kept by scope: the root of the workflow, or one iteration
 * of a loop, in which each node has at most one run.
 */

import type { Json, JsonObject } from '../api/json';
import type { Iteration, MessageWord, NodeStatusChanged, StatusWord, TaskEvent } from '../api/types';

export interface Change {
  sequence: number;
  status: StatusWord;
  time: number;
}

export interface Run {
  id: string;
  nodeID: string;
  /** Key of the scope that it is in. */
  scope: string;
  iterations: readonly Iteration[];
  changes: Change[];
  branch: string;
  error: string;
  inputs?: Json;
  outputs?: Json;
}

/** One iteration of a loop, or the root, whose key is empty. */
export interface Scope {
  key: string;
  loopID: string;
  index: number;
  /** Of the first event in it. */
  sequence: number;
  iterations: readonly Iteration[];
  /** In the order in which they started. */
  runs: Run[];
  /** Of many runs only: a log may have tens of thousands of iterations with a few. */
  byNode: Map<string, Run> | undefined;
}

const FEW_RUNS = 8;

export interface Said {
  id: string;
  sequence: number;
  type: MessageWord;
  text: string;
  nodeID: string;
  time: number;
}

export type DisplayStatus = StatusWord | 'idle' | 'skipped';

const TERMINATED: ReadonlySet<string> = new Set<StatusWord>(['succeeded', 'failed', 'canceled']);

export function isTerminated(status: string): boolean {
  return TERMINATED.has(status);
}

export function scopeKey(iterations: readonly Iteration[]): string {
  return iterations.map((each) => `${each.loopNodeID}[${each.index}]`).join('/');
}

export function innerScope(scope: string, loopID: string, index: number): string {
  return `${scope ? `${scope}/` : ''}${loopID}[${index}]`;
}

function loopKey(scope: string, loopID: string): string {
  return `${scope}/${loopID}`;
}

export class TaskLog {
  /** Grows with each change, for code that keeps something derived. */
  version = 0;
  lastSequence = 0;
  /** The times of events, by sequence - 1; never falling. */
  readonly times: number[] = [];
  readonly changes: Change[] = [];
  readonly messages: Said[] = [];
  /** By their id. */
  readonly runs = new Map<string, Run>();
  readonly scopes = new Map<string, Scope>([['', emptyScope('', [], 0)]]);
  /** Text of models as it comes, by run; live only. */
  readonly texts = new Map<string, string>();
  /** Sequences at which something failed. */
  readonly failures: number[] = [];
  outputs: JsonObject | undefined;
  readonly #iterations = new Map<string, Scope[]>();
  /** Runs come one after the other in the same iteration. */
  #recent: { iterations: readonly Iteration[]; scope: Scope } = { iterations: [], scope: rootOf(this.scopes) };

  apply(events: readonly TaskEvent[]): void {
    for (const event of events) this.#apply(event);
    if (events.length > 0) this.version += 1;
  }

  /** Forgets what was live only: what came since is not sent again. */
  dropTexts(): void {
    if (this.texts.size === 0) return;
    this.texts.clear();
    this.version += 1;
  }

  #apply(event: TaskEvent): void {
    if (event.sequence === undefined) {
      if (event.type === 'output_delta') this.#delta(event.snapshotID, event.text, event.fromStart === true);
      return;
    }
    if (event.sequence <= this.lastSequence) return; // known before
    this.lastSequence = event.sequence;
    const before = this.times.at(-1) ?? 0;
    const time = Math.max(before, event.timestamp); // a clock that was set back must not turn the time line round
    while (this.times.length < event.sequence) this.times.push(time);
    const at = { sequence: event.sequence, time };
    switch (event.type) {
      case 'task_status_changed':
        this.changes.push({ ...at, status: event.workflowStatus.status });
        if (event.workflowStatus.status === 'failed') this.failures.push(event.sequence);
        if (event.outputs) this.outputs = event.outputs;
        break;
      case 'node_status_changed':
        this.#node(event, at);
        break;
      case 'message': {
        const { id, type, message, nodeID } = event.message;
        this.messages.push({ ...at, id, type, text: message, nodeID: nodeID ?? '' });
        break;
      }
      case 'unknown':
        break;
    }
  }

  #node(event: NodeStatusChanged, at: { sequence: number; time: number }): void {
    const news = event.snapshot;
    const run = this.runs.get(news.id) ?? this.#newRun(news.id, event.nodeID, news.iterations ?? [], at.sequence);
    const { status, startTime } = event.nodeStatus;
    if (run.changes.length === 0 && isTerminated(status) && startTime > 0) {
      // A node that does no I/O tells its end alone.
      run.changes.push({ sequence: at.sequence, time: Math.min(startTime, at.time), status: 'processing' });
    }
    run.changes.push({ ...at, status });
    if (news.branch) run.branch = news.branch;
    if (news.error) run.error = news.error;
    if (news.inputs !== undefined) run.inputs = news.inputs;
    if (news.outputs !== undefined) run.outputs = news.outputs;
    if (status === 'failed') this.failures.push(at.sequence);
    if (isTerminated(status)) this.texts.delete(run.id);
  }

  #newRun(id: string, nodeID: string, iterations: readonly Iteration[], sequence: number): Run {
    const scope = this.#scope(iterations, sequence);
    const run: Run = { id, nodeID, scope: scope.key, iterations: scope.iterations, changes: [], branch: '', error: '' };
    scope.runs.push(run);
    if (scope.byNode) scope.byNode.set(nodeID, run);
    else if (scope.runs.length > FEW_RUNS) scope.byNode = new Map(scope.runs.map((each) => [each.nodeID, each]));
    this.runs.set(id, run);
    return run;
  }

  #scope(iterations: readonly Iteration[], sequence: number): Scope {
    if (sameIterations(iterations, this.#recent.iterations)) return this.#recent.scope;
    const scope = this.#scopeOf(iterations, sequence);
    this.#recent = { iterations, scope };
    return scope;
  }

  #scopeOf(iterations: readonly Iteration[], sequence: number): Scope {
    const key = scopeKey(iterations);
    const known = this.scopes.get(key);
    if (known) return known;
    const last = iterations.at(-1);
    if (!last) throw new RangeError('the root is always known');
    const parent = this.#scopeOf(iterations.slice(0, -1), sequence);
    const scope = emptyScope(key, iterations, sequence);
    this.scopes.set(key, scope);
    const siblings = loopKey(parent.key, last.loopNodeID);
    const list = this.#iterations.get(siblings);
    if (list) list.push(scope);
    else this.#iterations.set(siblings, [scope]);
    return scope;
  }

  #delta(runID: string, text: string, fromStart: boolean): void {
    this.texts.set(runID, fromStart ? text : (this.texts.get(runID) ?? '') + text);
  }

  /** The iterations of a loop in a scope, in the order in which they began. */
  iterations(scope: string, loopID: string): readonly Scope[] {
    return this.#iterations.get(loopKey(scope, loopID)) ?? [];
  }

  run(scope: string, nodeID: string): Run | undefined {
    const found = this.scopes.get(scope);
    return found?.byNode ? found.byNode.get(nodeID) : found?.runs.findLast((run) => run.nodeID === nodeID);
  }

  status(sequence: number): StatusWord {
    return changeAt(this.changes, sequence)?.status ?? 'pending';
  }

  get terminated(): boolean {
    const last = this.changes.at(-1);
    return last !== undefined && isTerminated(last.status);
  }

  timeOf(sequence: number): number {
    return this.times[Math.min(sequence, this.times.length) - 1] ?? 0;
  }

  /** The last sequence at a time; 0 before the first. */
  sequenceAt(time: number): number {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.times[middle] ?? 0) <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function rootOf(scopes: ReadonlyMap<string, Scope>): Scope {
  const root = scopes.get('');
  if (!root) throw new RangeError('the root is always known');
  return root;
}

function sameIterations(one: readonly Iteration[], other: readonly Iteration[]): boolean {
  return one.length === other.length && one.every((each, depth) => each.index === other[depth]?.index && each.loopNodeID === other[depth].loopNodeID);
}

function emptyScope(key: string, iterations: readonly Iteration[], sequence: number): Scope {
  const last = iterations.at(-1);
  return { key, loopID: last?.loopNodeID ?? '', index: last?.index ?? 0, sequence, iterations, runs: [], byNode: undefined };
}

/** The last change at a moment. Runs have two or three, so looking from the end is the quickest. */
export function changeAt(changes: readonly Change[], sequence: number): Change | undefined {
  for (let index = changes.length - 1; index >= 0; index -= 1) {
    const change = changes[index];
    if (change && change.sequence <= sequence) return change;
  }
  return undefined;
}

export function firstSequence(run: Run): number {
  return run.changes[0]?.sequence ?? 0;
}
