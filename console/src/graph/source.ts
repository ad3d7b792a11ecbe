/** What a drawn graph shows besides its shape, and how it learns of changes. */

import { createContext, useContext, useSyncExternalStore, type ReactNode } from 'react';
import type { EdgeState, NodeState } from '../model/moment';
import type { FlowNode, Workflow } from '../model/workflow';

/** How a node is marked. */
export type NodeMark = '' | 'problem' | 'different';

export interface GraphSource {
  workflow: Workflow;
  subscribe: (listener: () => void) => () => void;
  /** The same object as before while nothing of the node has changed. */
  nodeState: (nodeID: string) => NodeState | undefined;
  nodeMark?: (nodeID: string) => NodeMark;
  /** The card itself says nothing of a status, for `extra` does. */
  withoutStatus?: boolean;
  edgeStates: () => ReadonlyMap<string, EdgeState>;
  /** More on a node's card. */
  extra?: (node: FlowNode) => ReactNode;
  selected: () => string;
  onSelect: (nodeID: string) => void;
}

export const SourceContext = createContext<GraphSource | undefined>(undefined);

export function useSource(): GraphSource {
  const source = useContext(SourceContext);
  if (!source) throw new Error('outside of a graph');
  return source;
}

export function useOfSource<T>(pick: (source: GraphSource) => T): T {
  const source = useSource();
  return useSyncExternalStore(source.subscribe, () => pick(source));
}
