/** Shows the state of edges on the canvas's lines, once per change, without rendering them anew: styles do the rest. */

import { TransformData, WorkflowLineRenderData, type FreeLayoutPluginContext } from '@flowgram.ai/free-layout-editor';
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
  // The canvas draws lines when they come, which may be before nodes and ports have their real size, and computes their new place
  // without drawing them anew.
  const drawn = new WeakMap<object, unknown>();
  let frame = 0;
  const place = () => {
    frame = 0;
    for (const line of linesManager.getAllLines()) {
      const data = line.getData(WorkflowLineRenderData);
      // A line that was computed before the canvas knew how lines run would keep its place for ever, and have no path.
      if (data.path === '') data.data.version = '';
      data.update();
      if (drawn.get(line) === data.renderVersion) continue;
      drawn.set(line, data.renderVersion);
      line.fireRender();
    }
    paint();
  };
  const schedule = () => {
    frame ||= requestAnimationFrame(place);
  };
  paint();
  const timers = SETTLING.map((delay) => setTimeout(schedule, delay));
  const moves = context.document.getAllNodes().map((node) => node.getData(TransformData).onDataChange(schedule));
  const unsubscribe = source.subscribe(paint);
  const lines = linesManager.onAvailableLinesChange(paint);
  return () => {
    for (const timer of timers) clearTimeout(timer);
    for (const move of moves) move.dispose();
    cancelAnimationFrame(frame);
    unsubscribe();
    lines.dispose();
  };
}
