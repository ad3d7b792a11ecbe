/** What the graph shows at one moment: the status of each node and edge, in the iterations that are chosen. */

import type { FlowEdge, FlowGraph, Workflow } from './workflow';
import { changeAt, innerScope, isTerminated, type DisplayStatus, type Run, type Scope, type TaskLog } from './log';

/** Which iteration of a loop is shown, by the loop's id; one that is not there follows the newest. */
export type Choice = Readonly<Record<string, number>>;

export interface NodeState {
  status: DisplayStatus;
  run: Run | undefined;
  /** Of loops: how many iterations have begun, and which one is shown (-1: none). */
  iterations: number;
  shown: number;
}

export type EdgeState = 'idle' | 'taken' | 'flowing' | 'skipped';

export interface Moment {
  nodes: ReadonlyMap<string, NodeState>;
  edges: ReadonlyMap<string, EdgeState>;
}

export function edgeKey(edge: FlowEdge): string {
  return `${edge.source}:${edge.sourcePort ?? ''}>${edge.target}`;
}

/** The state at a sequence. States that are as they were in `before` are the same objects. */
export function momentAt(workflow: Workflow, log: TaskLog, sequence: number, choice: Choice, before?: Moment): Moment {
  const nodes = new Map<string, NodeState>();
  const edges = new Map<string, EdgeState>();
  const ended = isTerminated(log.status(sequence));

  const visit = (graph: FlowGraph, scope: string | undefined, over: boolean): void => {
    for (const node of graph.nodes) {
      const run = scope === undefined ? undefined : log.run(scope, node.id);
      const change = run && changeAt(run.changes, sequence);
      const status: DisplayStatus = change?.status ?? (over ? 'skipped' : 'idle');
      let shown = -1;
      let count = 0;
      if (node.inner) {
        const iterations = scope === undefined ? [] : log.iterations(scope, node.id);
        count = begun(iterations, sequence);
        const wanted = choice[node.id];
        const found = wanted === undefined ? iterations[count - 1] : iterations.slice(0, count).find((each) => each.index === wanted);
        shown = found?.index ?? -1;
        const inner = found && scope !== undefined ? innerScope(scope, node.id, found.index) : undefined;
        // An iteration is over once its loop is, or the next one has begun.
        const last = iterations[count - 1];
        const innerOver = over || isTerminated(status) || (found !== undefined && found !== last);
        visit(node.inner, inner, innerOver);
      }
      nodes.set(node.id, kept(before?.nodes.get(node.id), { status, run: change ? run : undefined, iterations: count, shown }));
    }
    for (const edge of graph.edges) edges.set(edgeKey(edge), edgeState(edge, nodes, over));
  };

  visit(workflow, '', ended);
  return { nodes, edges };
}

function kept(before: NodeState | undefined, now: NodeState): NodeState {
  return before?.status === now.status &&
    before.run === now.run &&
    before.iterations === now.iterations &&
    before.shown === now.shown
    ? before
    : now;
}

function edgeState(edge: FlowEdge, nodes: ReadonlyMap<string, NodeState>, over: boolean): EdgeState {
  const source = nodes.get(edge.source);
  const target = nodes.get(edge.target);
  if (source?.status === 'succeeded' && source.run) {
    const { branch } = source.run;
    if (branch !== '' && edge.sourcePort !== branch) return 'skipped';
    return target?.status === 'processing' ? 'flowing' : 'taken';
  }
  return over ? 'skipped' : 'idle';
}

/** How many iterations have begun by a sequence. */
function begun(iterations: readonly Scope[], sequence: number): number {
  let low = 0;
  let high = iterations.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((iterations[middle]?.sequence ?? Infinity) <= sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}

