/** Keeps the whole graph in view until somebody looks closer. */

import type { FreeLayoutPluginContext } from '@flowgram.ai/free-layout-editor';
import { Rectangle, TransformData } from '@flowgram.ai/free-layout-editor';

/** Nodes grow to their real size in the first frames. */
export const SETTLING = [0, 60, 200, 500, 1000, 2500];
const MOST_ZOOM = 1;
const PADDING = 24;

export interface Fitting {
  fit: (easing: boolean) => void;
  /** Leaves the view as it is from now on. */
  release: () => void;
  stop: () => void;
}

export function keepFitted(context: FreeLayoutPluginContext, pane: HTMLElement): Fitting {
  let following = true;
  const fit = (easing: boolean) => {
    const { config } = context.playground;
    const nodes = context.document.getAllNodes();
    const { width, height } = config.config;
    if (nodes.length === 0 || width <= 0 || height <= 0) return;
    const bounds = Rectangle.enlarge(nodes.map((node) => node.getData(TransformData).bounds)).pad(PADDING, PADDING);
    const zoom = Math.min(width / bounds.width, height / bounds.height, MOST_ZOOM);
    config.updateConfig({ minZoom: Math.min(zoom, 0.25) });
    void config.scrollToView({ bounds, zoom, scrollToCenter: true, easing });
  };
  const followed = () => {
    if (following) fit(false);
  };
  const timers = SETTLING.map((delay) => setTimeout(followed, delay));
  let frame = 0;
  const schedule = () => {
    if (following) frame ||= requestAnimationFrame(() => {
      frame = 0;
      followed();
    });
  };
  const moves = context.document.getAllNodes().map((node) => node.getData(TransformData).onDataChange(schedule));
  const observer = new ResizeObserver(() => {
    context.playground.resize();
    followed();
  });
  observer.observe(pane);
  const release = () => {
    following = false;
  };
  pane.addEventListener('wheel', release, { passive: true });
  pane.addEventListener('pointerdown', release, { passive: true });
  return {
    fit: (easing) => {
      following = true;
      fit(easing);
    },
    release,
    stop: () => {
      for (const timer of timers) clearTimeout(timer);
      for (const move of moves) move.dispose();
      cancelAnimationFrame(frame);
      observer.disconnect();
      pane.removeEventListener('wheel', release);
      pane.removeEventListener('pointerdown', release);
    },
  };
}
