/** The namespace that the page is about: it is in the address, so that a link shows the same to another admin. */

const NAME = 'ns';

/** Its name; empty: the caller's own. */
export function currentNamespace(): string {
  return typeof window === 'undefined' ? '' : (new URLSearchParams(window.location.search).get(NAME) ?? '');
}

/** A path of the page about a namespace: one that names none itself is about the same as before. */
export function inNamespace(path: string, before = currentNamespace()): string {
  const [bare = '', search = ''] = path.split('?');
  const query = new URLSearchParams(search);
  if (!query.has(NAME) && before === '') return path;
  if (query.get(NAME)) return path;
  if (!query.has(NAME)) return `${path}${search ? '&' : '?'}${NAME}=${encodeURIComponent(before)}`;
  query.delete(NAME);
  const rest = query.toString();
  return rest ? `${bare}?${rest}` : bare;
}

/** The list of the tasks of a namespace; empty: the caller's own. */
export function tasksOf(name: string): string {
  return `/?${NAME}=${encodeURIComponent(name)}`;
}
