/** Keyboard shortcuts that work wherever nothing is being typed. */

import { useEffect, useRef } from 'react';

const TYPING = 'input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true]';

export type Keys = Record<string, (event: KeyboardEvent) => void>;

/** A key by its name, such as `j`, `/` or `Escape`; after `g`, as `g t`. Escape works while typing too. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  useEffect(() => {
    latest.current = keys;
  });
  useEffect(() => {
    let after = '';
    const listen = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as Element | null;
      const typing = target?.closest(TYPING) ?? null;
      if (typing && event.key !== 'Escape') return;
      if (document.querySelector('dialog[open]')) return;
      const name = after ? `${after} ${event.key}` : event.key;
      after = event.key === 'g' && !after ? 'g' : '';
      latest.current[name]?.(event);
    };
    window.addEventListener('keydown', listen);
    return () => window.removeEventListener('keydown', listen);
  }, []);
}
