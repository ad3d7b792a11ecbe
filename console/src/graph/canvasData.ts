/** A workflow in the form in which FlowGram's canvas takes it. */

import type { WorkflowJSON } from '@flowgram.ai/free-layout-editor';
import { isObject } from '../api/json';
import type { FlowEdge, FlowGraph, FlowNode, Workflow } from '../model/workflow';

/** The types of nodes that the canvas tells apart; all others are steps. */
export type CanvasType = 'step' | 'branching' | 'start' | 'end' | 'stop' | 'block-start' | 'block-end' | 'loop' | 'group' | 'comment';

/** The editor's measures, so that what stands side by side there does so here. */
export const CARD = { width: 360, height: 92 };
export const DOT = { width: 100, height: 64 };
export const LOOP_PADDING = { top: 128, bottom: 60, left: 80, right: 80 };

const OWN: Record<string, CanvasType> = {
  start: 'start',
  end: 'end',
  break: 'stop',
  continue: 'stop',
  'block-start': 'block-start',
  'block-end': 'block-end',
  group: 'group',
  comment: 'comment',
};

/** Of the edges of one graph: the ports that they name, by the node that they leave. */
const named = new WeakMap<readonly FlowEdge[], ReadonlyMap<string, ReadonlySet<string>>>();

function namedPorts(edges: readonly FlowEdge[]): ReadonlyMap<string, ReadonlySet<string>> {
  const known = named.get(edges);
  if (known) return known;
  const found = new Map<string, Set<string>>();
  for (const { source, sourcePort } of edges) {
    if (sourcePort === undefined) continue;
    const ports = found.get(source);
    if (ports) ports.add(sourcePort);
    else found.set(source, new Set([sourcePort]));
  }
  named.set(edges, found);
  return found;
}

/** The ports that leave a node: those of its branches, and what the edges of its graph name beside them. */
export function outgoingPorts(node: FlowNode, edges: readonly FlowEdge[]): { id: string; label: string }[] {
  const known = new Set(node.ports.map((port) => port.id));
  const more = [...(namedPorts(edges).get(node.id) ?? [])].filter((id) => !known.has(id)).map((id) => ({ id, label: id }));
  return [...node.ports, ...more];
}

export function canvasType(node: FlowNode, edges: readonly FlowEdge[]): CanvasType {
  if (node.inner) return 'loop';
  if (outgoingPorts(node, edges).length > 0) return 'branching';
  return OWN[node.type] ?? 'step';
}

export function canvasData(workflow: Workflow): WorkflowJSON {
  return graph(workflow) as WorkflowJSON;
}

function graph(from: FlowGraph): object {
  const ids = new Set(from.nodes.map((node) => node.id));
  return {
    nodes: from.nodes.map((node) => ({
      id: node.id,
      type: canvasType(node, from.edges),
      meta: { position: node.position },
      data: isObject(node.data) && node.type === 'group' ? { ...node.data, blockIDs: groupMembers(node, ids) } : {},
      ...(node.inner && { ...mapped(node.inner) }),
    })),
    edges: from.edges
      .filter((edge) => ids.has(edge.source) && ids.has(edge.target) && edge.source !== edge.target)
      .map((edge) => ({ sourceNodeID: edge.source, targetNodeID: edge.target, ...(edge.sourcePort !== undefined && { sourcePortID: edge.sourcePort }) })),
  };
}

function mapped(inner: FlowGraph): object {
  const { nodes, edges } = graph(inner) as { nodes: object[]; edges: object[] };
  return { blocks: nodes, edges };
}

function groupMembers(group: FlowNode, siblings: ReadonlySet<string>): string[] {
  const named = group.data['blockIDs'];
  return Array.isArray(named) ? named.filter((each): each is string => typeof each === 'string' && siblings.has(each) && each !== group.id) : [];
}
