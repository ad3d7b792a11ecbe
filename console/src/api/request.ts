/** Requests to the server that this page came from, and nowhere else. */

import { texts } from '../texts';
import { NotFound, RequestFailed, ServerAway, SignedOut } from './errors';
import { isObject, parseJson, toJson, type Json } from './json';
import { currentNamespace } from './namespace';

const SECOND = 1000;
/** Answers that say: the same request may succeed later. */
const TRY_AGAIN = new Set([429, 502, 503, 504]);

type Listener = () => void;
const signedOut = new Set<Listener>();

/** Calls back whenever the server asks for a credential. Returns what ends that. */
export function onSignedOut(listener: Listener): Listener {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
}

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === '') continue;
    if (Array.isArray(value)) for (const each of value as readonly string[]) search.append(name, each);
    else search.append(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/** The response to a request; every status but a success is thrown as one of `errors.ts`. */
export async function send(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  const namespace = currentNamespace();
  if (namespace) headers.set('Flowgram-Namespace', namespace);
  let response: Response;
  try {
    response = await fetch(path, { credentials: 'same-origin', cache: 'no-store', redirect: 'error', ...options, headers });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ServerAway(texts.errors.away);
  }
  if (response.ok) return response;
  throw await failure(response);
}

/** Which of the media types a response has; one that has none of them is from something else than the server. */
export function typeOf(response: Response, types: readonly string[]): string {
  const found = types.find((type) => response.headers.get('Content-Type')?.startsWith(type));
  if (found === undefined) throw new ServerAway(texts.errors.notTheServer);
  return found;
}

async function failure(response: Response): Promise<RequestFailed> {
  const { status } = response;
  let code = String(status);
  let message = response.statusText || texts.errors.unexpected(status);
  let problems: string[] = [];
  try {
    const body = parseJson(await response.text());
    if (isObject(body)) {
      if (typeof body['code'] === 'string') code = body['code'];
      if (typeof body['message'] === 'string') message = body['message'];
      if (Array.isArray(body['errors'])) problems = body['errors'].filter((each) => typeof each === 'string');
    }
  } catch {
    // No JSON: a proxy's own page. The status says enough.
  }
  if (status === 401) {
    for (const listener of signedOut) listener();
    return new SignedOut(message, code, status);
  }
  if (status === 404) return new NotFound(message, code, status);
  if (TRY_AGAIN.has(status)) {
    const seconds = Number(response.headers.get('Retry-After') ?? 0);
    return new ServerAway(message, code, status, Number.isFinite(seconds) ? seconds * SECOND : 0);
  }
  return new RequestFailed(message, code, status, problems);
}

export async function getJson<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  const response = await send(address(path, query), signal ? { signal } : {});
  return answerOf(await response.text()) as T;
}

export async function sendJson<T>(method: 'POST' | 'PUT', path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await send(path, {
    method,
    body: toJson(body),
    headers: { 'Content-Type': 'application/json' },
    ...(signal && { signal }),
  });
  const text = await response.text();
  return (text ? answerOf(text) : null) as T;
}

/** What is no JSON was not sent by the server, but by a proxy or a sign-in page in between. */
function answerOf(text: string): Json {
  try {
    return parseJson(text);
  } catch {
    throw new ServerAway(texts.errors.notTheServer);
  }
}
