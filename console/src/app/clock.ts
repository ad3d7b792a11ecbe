/** What time it is on the server, ticking for code that shows how long something takes. */

import { useSyncExternalStore } from 'react';

const TICK = 250;

let offset = 0;
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

/** Learns the server's clock from an answer that came just now. */
export function setServerTime(rfc3339: string): void {
  const time = Date.parse(rfc3339);
  if (Number.isFinite(time)) offset = time - Date.now();
}

export function serverNow(): number {
  return Date.now() + offset;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    now = serverNow(); // React looks again after it has subscribed
    timer = setInterval(() => {
      if (document.hidden) return;
      now = serverNow();
      for (const each of listeners) each();
    }, TICK);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function subscribeToNothing(): () => void {
  return () => undefined;
}

/** The time now while `ticking`; a time that does not change otherwise. */
export function useNow(ticking: boolean): number {
  return useSyncExternalStore(ticking ? subscribe : subscribeToNothing, () => now);
}
