/** Shows the state of edges on the canvas's lines, once per change, without rendering them anew: styles do the rest. */

import { WorkflowLineRenderData, type FreeLayoutPluginContext } from '@flowgram.ai/free-layout-editor';
import { edgeKey } from '../model/moment';
import { SETTLING } from './fitting';
import type { GraphSource } from './source';

export function paintLines(context: FreeLayoutPluginContext, source: GraphSource): () => void {
  const { linesManager } = context.document;
  const paint = () => {
    const states = source.edgeStates();
    for (const line of linesManager.getAllLines()) {
      const { from, fromPort, to } = line.info;
      if (!from || !to) continue;
      const key = edgeKey({ source: from, target: to, ...(fromPort !== undefined && fromPort !== '' && { sourcePort: String(fromPort) }) });
      const state = states.get(key) ?? 'idle';
      if (line.node.dataset['state'] !== state) line.node.dataset['state'] = state;
    }
  };
  // The canvas places lines when they come, which may be before nodes and ports have their real size.
  const place = () => {
    for (const line of linesManager.getAllLines()) {
      const data = line.getData(WorkflowLineRenderData);
      const before = data.renderVersion;
      data.update();
      if (data.renderVersion !== before) line.fireRender();
    }
    paint();
  };
  paint();
  const timers = SETTLING.map((delay) => setTimeout(place, delay));
  const unsubscribe = source.subscribe(paint);
  const lines = linesManager.onAvailableLinesChange(paint);
  return () => {
    for (const timer of timers) clearTimeout(timer);
    unsubscribe();
    lines.dispose();
  };
}
