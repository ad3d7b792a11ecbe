/** Whether the server answers, as all parts of the page have seen it last. */

import { useSyncExternalStore } from 'react';

let away = false;
const listeners = new Set<() => void>();

export function setAway(value: boolean): void {
  if (away === value) return;
  away = value;
  for (const listener of listeners) listener();
}

export function useAway(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => away,
  );
}
