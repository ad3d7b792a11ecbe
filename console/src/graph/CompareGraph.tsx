import { useEffect, useMemo, useRef } from 'react';
import type { Pair } from '../model/compare';
import type { EdgeState, NodeState } from '../model/moment';
import type { FlowNode, Workflow } from '../model/workflow';
import { texts } from '../texts';
import { StatusBadge } from '../ui/StatusBadge';
import { FlowCanvas } from './FlowCanvas';
import { useOfSource, type GraphSource } from './source';

const NO_EDGES: ReadonlyMap<string, EdgeState> = new Map();

interface Props {
  workflow: Workflow;
  pairs: readonly Pair[];
  /** The id of a run. */
  selected: string;
  onSelect: (runID: string) => void;
}

interface Latest {
  byNode: ReadonlyMap<string, readonly Pair[]>;
  states: ReadonlyMap<string, NodeState>;
  selected: string;
  onSelect: (runID: string) => void;
}

/** The graph of two runs: each node with the status of its last run in both, and whether anything differs. */
export default function CompareGraph({ workflow, pairs, selected, onSelect }: Props) {
  const latest = useRef<Latest>({ byNode: new Map(), states: new Map(), selected, onSelect });
  const listeners = useRef(new Set<() => void>());
  const source = useMemo<GraphSource>(
    () => ({
      workflow,
      subscribe: (listener) => {
        listeners.current.add(listener);
        return () => listeners.current.delete(listener);
      },
      nodeState: (nodeID) => latest.current.states.get(nodeID),
      nodeMark: (nodeID) => (latest.current.byNode.get(nodeID)?.some((pair) => pair.different) ? 'different' : ''),
      withoutStatus: true,
      edgeStates: () => NO_EDGES,
      extra: (node) => <Both node={node} pairOf={(nodeID) => latest.current.byNode.get(nodeID)?.at(-1)} />,
      selected: () => latest.current.selected,
      onSelect: (nodeID) => latest.current.onSelect(latest.current.byNode.get(nodeID)?.at(-1)?.id ?? ''),
    }),
    [workflow],
  );
  useEffect(() => {
    const byNode = new Map<string, Pair[]>();
    for (const pair of pairs) {
      const list = byNode.get(pair.nodeID);
      if (list) list.push(pair);
      else byNode.set(pair.nodeID, [pair]);
    }
    const states = new Map(
      [...byNode].map(([nodeID, list]): [string, NodeState] => {
        const last = list.at(-1);
        return [nodeID, { status: last?.one.status ?? 'idle', run: last?.one.run, iterations: 0, shown: -1 }];
      }),
    );
    const of = pairs.find((pair) => pair.id === selected)?.nodeID ?? '';
    latest.current = { byNode, states, selected: of, onSelect };
    for (const listener of listeners.current) listener();
  }, [pairs, selected, onSelect]);
  return <FlowCanvas source={source} />;
}

function Both({ node, pairOf }: { node: FlowNode; pairOf: (nodeID: string) => Pair | undefined }) {
  useOfSource((source) => source.nodeState(node.id));
  const pair = pairOf(node.id);
  if (!pair) return null;
  return (
    <div className="both">
      <span>
        {texts.compare.one} <StatusBadge status={pair.one.status} />
      </span>
      <span>
        {texts.compare.other} <StatusBadge status={pair.other.status} />
      </span>
    </div>
  );
}
