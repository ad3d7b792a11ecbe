import { useNodeSize, useSyncNodeRenderSize } from '@flowgram.ai/free-container-plugin';
import type { WorkflowNodeEntity } from '@flowgram.ai/free-layout-editor';
import { useLayoutEffect, type KeyboardEvent, type ReactNode } from 'react';
import type { NodeState } from '../model/moment';
import type { FlowNode } from '../model/workflow';
import { Icon, typeIcon } from '../ui/Icon';
import { StatusBadge, statusText } from '../ui/StatusBadge';
import { canvasType, outgoingPorts, type CanvasType } from './canvasData';
import { portSides } from './registries';
import { useOfSource, useSource } from './source';

const IDLE: NodeState = { status: 'idle', run: undefined, iterations: 0, shown: -1 };

/** One node on the canvas. It renders anew only when its own state changes. */
export function NodeView({ node: entity }: { node: WorkflowNodeEntity }) {
  const { workflow } = useSource();
  const node = workflow.all.get(entity.id);
  if (!node) return null;
  const edges = edgesAround(workflow, node);
  const type = canvasType(node, edges);
  switch (type) {
    case 'loop':
      return <LoopView node={node} />;
    case 'group':
      return <GroupView node={node} />;
    case 'comment':
      return <CommentView node={node} />;
    case 'block-start':
    case 'block-end':
      return <DotView node={node} type={type} />;
    default:
      return <CardView entity={entity} node={node} type={type} ports={outgoingPorts(node, edges)} />;
  }
}

function edgesAround(workflow: ReturnType<typeof useSource>['workflow'], node: FlowNode) {
  const loop = node.loops.at(-1);
  return (loop === undefined ? workflow : workflow.all.get(loop)?.inner)?.edges ?? [];
}

interface CardProps {
  entity: WorkflowNodeEntity;
  node: FlowNode;
  type: CanvasType;
  ports: { id: string; label: string }[];
}

/** What all cards share. Their ports are drawn by styles: the canvas's own component is ten elements and five subscriptions for each. */
function useCard(node: FlowNode, type: CanvasType) {
  const source = useSource();
  const state = useOfSource((each) => each.nodeState(node.id)) ?? IDLE;
  const selected = useOfSource((each) => each.selected() === node.id);
  const mark = useOfSource((each) => each.nodeMark?.(node.id) ?? '');
  const press = {
    role: 'button',
    tabIndex: 0,
    'aria-pressed': selected,
    onClick: () => source.onSelect(selected ? '' : node.id),
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      event.stopPropagation();
      source.onSelect(node.id);
    },
  };
  const className = `flow-node status-${state.status}${portSides(type)}${selected ? ' selected' : ''}${mark ? ` mark-${mark}` : ''}`;
  return { source, state, press, className };
}

function CardView({ entity, node, type, ports }: CardProps) {
  const { source, state, press, className } = useCard(node, type);
  const taken = state.run?.branch ?? '';
  const shownTaken = state.status === 'succeeded' ? taken : '';
  useLayoutEffect(() => {
    // Ports of branches are where their rows are, which is known once they are there.
    if (ports.length > 0) entity.ports.updateDynamicPorts();
  }, [entity, ports.length]);
  return (
    <div className={className} data-node={node.id} data-status={state.status}>
      <CardHeader node={node} state={state} press={press} />
      {ports.length > 0 && (
        <ul className="node-ports">
          {ports.map((port) => (
            <li key={port.id} className={port.id === shownTaken ? 'port-taken' : undefined} title={port.label}>
              <span className="port-label">{port.label}</span>
              <span className="port-anchor" data-port-id={port.id} data-port-type="output" />
            </li>
          ))}
        </ul>
      )}
      {source.extra?.(node)}
    </div>
  );
}

/** What a node is and how it is: the part that is pressed to select it. */
function CardHeader({ node, state, press }: { node: FlowNode; state: NodeState; press: ReturnType<typeof useCard>['press'] }) {
  const { withoutStatus } = useSource();
  return (
    <div className="node-press" {...press}>
      <span className={`type-icon type-${node.type}`}>
        <Icon name={typeIcon(node.type)} size={22} />
      </span>
      <span className="node-title">{node.title}</span>
      {withoutStatus ? <span /> : <StatusBadge status={state.status} quiet={state.status === 'idle'} />}
      <Detail node={node} state={state} />
    </div>
  );
}

/** A line about what the node is or did. */
function Detail({ node, state }: { node: FlowNode; state: NodeState }) {
  if (state.run?.error && state.status === 'failed') return <span className="node-detail node-error">{state.run.error}</span>;
  return <span className="node-detail">{node.type}</span>;
}

function DotView({ node, type }: { node: FlowNode; type: CanvasType }) {
  const { press, className, state } = useCard(node, type);
  return (
    <div className={`${className} flow-dot`} data-node={node.id} data-status={state.status} aria-label={`${node.title}, ${statusText(state.status)}`} {...press}>
      <Icon name={typeIcon(node.type)} size={24} />
    </div>
  );
}

function LoopView({ node }: { node: FlowNode }) {
  const { source, press, className, state } = useCard(node, 'loop');
  const size = useNodeSize();
  useSyncNodeRenderSize(size);
  return (
    <div className={`${className} flow-loop`} style={{ height: size?.height }} data-node={node.id} data-status={state.status}>
      <CardHeader node={node} state={state} press={press} />
      {source.extra?.(node)}
    </div>
  );
}

function GroupView({ node }: { node: FlowNode }) {
  const size = useNodeSize();
  useSyncNodeRenderSize(size);
  const color = typeof node.data['color'] === 'string' ? node.data['color'].toLowerCase() : '';
  return (
    <div className={`flow-group${/^[a-z]+$/.test(color) ? ` group-${color}` : ''}`} style={{ height: size?.height }}>
      <span>{node.title === node.id ? '' : node.title}</span>
    </div>
  );
}

function CommentView({ node }: { node: FlowNode }) {
  const { note, size } = node.data;
  const measure = (name: string, least: number): number => {
    const value = size && typeof size === 'object' && !Array.isArray(size) ? size[name] : undefined;
    return typeof value === 'number' && value > 0 ? Math.min(value, 2000) : least;
  };
  const text: ReactNode = typeof note === 'string' ? note : '';
  return (
    <div className="flow-comment" style={{ width: measure('width', 240), height: measure('height', 150) }}>
      {text}
    </div>
  );
}
