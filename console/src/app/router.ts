/** The address of the page, and moving to another one without loading it anew. */

import { useCallback, useSyncExternalStore } from 'react';
import { inNamespace } from '../api/namespace';

const CHANGED = 'flowgram-location';

function subscribe(listener: () => void): () => void {
  window.addEventListener('popstate', listener);
  window.addEventListener(CHANGED, listener);
  return () => {
    window.removeEventListener('popstate', listener);
    window.removeEventListener(CHANGED, listener);
  };
}

function current(): string {
  return window.location.pathname + window.location.search;
}

/** Moves to a path of this page. `replace`: going back leads past where one was. */
export function navigate(path: string, { replace = false } = {}): void {
  const to = inNamespace(path);
  if (to === current()) return;
  if (replace) window.history.replaceState(null, '', to);
  else window.history.pushState(null, '', to);
  window.dispatchEvent(new Event(CHANGED));
}

export interface Location {
  path: string;
  query: URLSearchParams;
}

export function useLocation(): Location {
  const text = useSyncExternalStore(subscribe, current);
  const [path = '/', search = ''] = text.split('?');
  return { path, query: new URLSearchParams(search) };
}

export type QueryChange = Record<string, string | readonly string[] | undefined>;

/** The path with members of the query changed; undefined or empty ones are left out. */
export function withQuery(change: QueryChange): string {
  const query = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(change)) {
    query.delete(name);
    if (value === undefined || value === '') continue;
    if (typeof value === 'string') query.set(name, value);
    else for (const each of value) query.append(name, each);
  }
  const text = query.toString().replaceAll('%3A', ':').replaceAll('%2C', ',');
  return window.location.pathname + (text ? `?${text}` : '');
}

/** Changes members of the query in place. */
export function useQueryChange(): (change: QueryChange) => void {
  return useCallback((change) => navigate(withQuery(change), { replace: true }), []);
}

export const paths = {
  tasks: '/',
  task: (taskID: string) => `/tasks/${encodeURIComponent(taskID)}`,
  run: '/run',
  again: (taskID: string) => `/run?from=${encodeURIComponent(taskID)}`,
  compare: (one: string, other: string) => `/compare?a=${encodeURIComponent(one)}&b=${encodeURIComponent(other)}`,
};
