import { useEffect, useMemo, useRef } from 'react';
import type { EdgeState } from '../model/moment';
import type { Workflow } from '../model/workflow';
import { FlowCanvas, type Focus } from './FlowCanvas';
import type { GraphSource } from './source';

const NO_EDGES: ReadonlyMap<string, EdgeState> = new Map();

interface Props {
  workflow: Workflow;
  /** Nodes that something is wrong with. */
  marked: ReadonlySet<string>;
  selected: string;
  onSelect: (nodeID: string) => void;
}

/** A workflow that does not run. */
export default function WorkflowGraph({ workflow, marked, selected, onSelect }: Props) {
  const latest = useRef({ marked, selected, onSelect });
  const listeners = useRef(new Set<() => void>());
  const source = useMemo<GraphSource>(
    () => ({
      workflow,
      subscribe: (listener) => {
        listeners.current.add(listener);
        return () => listeners.current.delete(listener);
      },
      nodeState: () => undefined,
      nodeMark: (nodeID) => (latest.current.marked.has(nodeID) ? 'problem' : ''),
      edgeStates: () => NO_EDGES,
      selected: () => latest.current.selected,
      onSelect: (nodeID) => latest.current.onSelect(nodeID),
    }),
    [workflow],
  );
  useEffect(() => {
    latest.current = { marked, selected, onSelect };
    for (const listener of listeners.current) listener();
  }, [marked, selected, onSelect]);
  const focus = useMemo<Focus>(() => ({ nodeID: selected, count: selected ? 1 : 0 }), [selected]);
  return <FlowCanvas source={source} focus={focus} />;
}
