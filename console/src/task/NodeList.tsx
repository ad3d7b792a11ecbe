import type { FlowNode, Workflow } from '../model/workflow';
import { PICTURE_ONLY } from '../model/workflow';
import { Icon, typeIcon } from '../ui/Icon';
import { StatusBadge } from '../ui/StatusBadge';
import { useNodeState, useSession } from './hooks';

/** The nodes of a workflow as a list, where they cannot be drawn. */
export function NodeList({ workflow, note, selected, onSelect }: { workflow: Workflow; note: string; selected: string; onSelect: (nodeID: string) => void }) {
  const nodes = [...workflow.all.values()].filter((node) => !PICTURE_ONLY.has(node.type));
  return (
    <div className="node-list">
      <p className="banner">{note}</p>
      <ul>
        {nodes.map((node) => (
          <Item key={node.id} node={node} selected={node.id === selected} onSelect={onSelect} />
        ))}
      </ul>
    </div>
  );
}

function Item({ node, selected, onSelect }: { node: FlowNode; selected: boolean; onSelect: (nodeID: string) => void }) {
  const { status } = useNodeState(useSession(), node.id);
  return (
    <li style={{ paddingInlineStart: `${node.loops.length}rem` }}>
      <button type="button" className={`quiet node-item status-${status}`} aria-pressed={selected} data-node={node.id} onClick={() => onSelect(node.id)}>
        <Icon name={typeIcon(node.type)} />
        <span>{node.title}</span>
        <StatusBadge status={status} />
      </button>
    </li>
  );
}

