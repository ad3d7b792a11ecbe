/** How the canvas treats each type of node: its size and ports. */

import type { WorkflowNodeRegistry } from '@flowgram.ai/free-layout-editor';
import { CARD, DOT, LOOP_PADDING, type CanvasType } from './canvasData';

const INPUT = { type: 'input' as const };
const OUTPUT = { type: 'output' as const };
const GROUP_PADDING = { top: 72, bottom: 32, left: 32, right: 32 };
const NONE = { top: 0, bottom: 0, left: 0, right: 0 };

type Meta = NonNullable<WorkflowNodeRegistry['meta']>;

const METAS: Record<CanvasType, Meta> = {
  step: { size: CARD, defaultPorts: [INPUT, OUTPUT] },
  branching: { size: CARD, defaultPorts: [INPUT], useDynamicPort: true },
  start: { size: CARD, defaultPorts: [OUTPUT], isStart: true },
  end: { size: CARD, defaultPorts: [INPUT], isNodeEnd: true },
  stop: { size: CARD, defaultPorts: [INPUT] },
  'block-start': { size: DOT, defaultPorts: [OUTPUT] },
  'block-end': { size: DOT, defaultPorts: [INPUT] },
  loop: { size: { width: 424, height: 244 }, defaultPorts: [INPUT, OUTPUT], isContainer: true, padding: container(LOOP_PADDING) },
  group: { size: { width: 424, height: 244 }, defaultPorts: [], isContainer: true, padding: container(GROUP_PADDING) },
  comment: { size: { width: 240, height: 150 }, defaultPorts: [] },
};

function container(padding: typeof NONE): NonNullable<Meta['padding']> {
  return (transform) => (transform.isContainer ? padding : NONE);
}

export const registries: WorkflowNodeRegistry[] = Object.entries(METAS).map(([type, meta]) => ({
  type,
  meta: { deleteDisable: true, copyDisable: true, expandable: false, ...meta },
}));

/** At which sides a card has a port of its own; those of branches are at their rows. */
export function portSides(type: CanvasType): string {
  return (METAS[type].defaultPorts ?? []).map((port) => ` port-${port.type}`).join('');
}

export function registryOf(type: string | number | symbol): WorkflowNodeRegistry {
  return { type: String(type), meta: METAS.step };
}
