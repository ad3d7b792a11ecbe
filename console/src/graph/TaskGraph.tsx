import { useEffect, useMemo, useRef } from 'react';
import type { FlowNode, Workflow } from '../model/workflow';
import { IterationPicker } from '../task/IterationPicker';
import { useSession } from '../task/hooks';
import { FlowCanvas, type Focus } from './FlowCanvas';
import type { GraphSource } from './source';

interface Props {
  workflow: Workflow;
  selected: string;
  focus: Focus;
  onSelect: (nodeID: string) => void;
}

/** The graph of a task at the moment that is shown. */
export default function TaskGraph({ workflow, selected, focus, onSelect }: Props) {
  const session = useSession();
  const chosen = useRef({ selected, onSelect });
  const listeners = useRef(new Set<() => void>());

  const source = useMemo<GraphSource>(
    () => ({
      workflow,
      subscribe: (listener) => {
        listeners.current.add(listener);
        const unsubscribe = session.subscribe(listener);
        return () => {
          listeners.current.delete(listener);
          unsubscribe();
        };
      },
      nodeState: (nodeID) => session.moment.nodes.get(nodeID),
      edgeStates: () => session.moment.edges,
      extra: (node) => <LoopExtra node={node} />,
      selected: () => chosen.current.selected,
      onSelect: (nodeID) => chosen.current.onSelect(nodeID),
    }),
    [workflow, session],
  );
  useEffect(() => {
    chosen.current = { selected, onSelect };
    for (const listener of listeners.current) listener();
  }, [selected, onSelect]);
  return <FlowCanvas source={source} focus={focus} />;
}

function LoopExtra({ node }: { node: FlowNode }) {
  const session = useSession();
  if (!node.inner) return null;
  return (
    <div className="loop-extra" onPointerDown={(event) => event.stopPropagation()} onMouseDown={(event) => event.stopPropagation()}>
      <IterationPicker session={session} loopID={node.id} />
    </div>
  );
}
