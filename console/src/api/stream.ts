/** A stream that goes on: connects again after breaks, and pauses while nobody can see the page.
 *
 * Browsers allow six HTTP/1.1 connections per host, for all tabs together. So each tab has one stream at most, a hidden tab has
 * none, and where too many windows are open the further ones look in every few seconds instead of staying.
 */

import { readBody } from './body';
import { RequestFailed, ServerAway } from './errors';
import { texts } from '../texts';
import { send, typeOf } from './request';

const SILENCE = 40_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5_000;
const HIDDEN_GRACE = 20_000;
const SLOTS = 4;
const LOOK = { quiet: 700, every: 3_000 };

export type StreamState = 'connecting' | 'live' | 'away' | 'ended';

export interface StreamOptions {
  /** Where to go on from, asked before each connection. */
  address: () => string;
  /** The media types that can be read, the best first. */
  accept: readonly string[];
  /** A connection begins, in one of these types; gives what takes each piece of its body, and returns true once nothing more will come. */
  receive: (type: string) => (bytes: Uint8Array) => boolean;
  /** A connection begins: what was live only is void. */
  onConnect?: () => void;
  onState: (state: StreamState) => void;
  /** The stream cannot go on. */
  onError: (error: RequestFailed) => void;
}

/** Starts a stream; returns what ends it. */
export function openStream(options: StreamOptions): () => void {
  const ending = new AbortController();
  void run(options, ending.signal);
  return () => ending.abort();
}

async function run(options: StreamOptions, signal: AbortSignal): Promise<void> {
  let pause = FIRST_PAUSE;
  options.onState('connecting');
  while (!signal.aborted) {
    await visible(signal);
    if (signal.aborted) return;
    try {
      const outcome = await withSlot(signal, (stays) =>
        connect(options, signal, stays, () => {
          pause = FIRST_PAUSE;
        }),
      );
      if (outcome === 'ended') {
        options.onState('ended');
        return;
      }
      if (outcome === 'look') await sleep(LOOK.every, signal);
      else if (outcome === 'broken') await sleep(FIRST_PAUSE, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof RequestFailed && !(error instanceof ServerAway)) {
        options.onError(error);
        return;
      }
      options.onState('away');
      const asked = error instanceof ServerAway ? error.retryAfter : 0;
      await sleep(Math.max(pause, Math.min(asked, LONGEST_PAUSE)), signal);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  }
}

type Outcome = 'ended' | 'broken' | 'hidden' | 'look';

async function connect(options: StreamOptions, signal: AbortSignal, stays: boolean, onOpen: () => void): Promise<Outcome> {
  const connection = new AbortController();
  const stop = () => connection.abort();
  signal.addEventListener('abort', stop);
  let hidden = false;
  const unwatch = whenHidden(() => {
    hidden = true;
    stop();
  });
  let looked = false;
  let ended = false;
  try {
    const response = await send(options.address(), { signal: connection.signal, headers: { Accept: options.accept.join(', ') } });
    if (response.status === 204) return 'ended';
    const type = typeOf(response, options.accept);
    options.onConnect?.();
    let came = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const quiet = () => {
      clearTimeout(timer);
      if (stays) return;
      timer = setTimeout(() => {
        looked = true;
        stop();
      }, LOOK.quiet);
    };
    quiet();
    try {
      const receive = options.receive(type);
      await readBody(response, SILENCE, (bytes) => {
        if (!came) {
          came = true;
          onOpen();
          options.onState('live');
        }
        quiet();
        ended = receive(bytes);
        return ended;
      });
    } finally {
      clearTimeout(timer);
    }
    if (!came) throw new ServerAway(texts.errors.away);
    return ended ? 'ended' : 'broken';
  } catch (error) {
    if (ended) return 'ended';
    if (signal.aborted) throw error;
    if (looked) return 'look';
    if (hidden) return 'hidden';
    throw error instanceof RequestFailed ? error : new ServerAway(String(error));
  } finally {
    signal.removeEventListener('abort', stop);
    unwatch();
  }
}

/** Runs with the knowledge whether this tab may keep a connection open. */
async function withSlot<T>(signal: AbortSignal, work: (stays: boolean) => Promise<T>): Promise<T> {
  const locks = (navigator as Partial<Navigator>).locks; // only where the page is served securely or from this machine
  if (!locks) return work(true);
  for (let slot = 0; slot < SLOTS && !signal.aborted; slot += 1) {
    const held = await locks.request(`flowgram-stream-${slot}`, { ifAvailable: true }, async (lock) =>
      lock ? { value: await work(true) } : undefined,
    );
    if (held) return held.value;
  }
  return work(false);
}

async function visible(signal: AbortSignal): Promise<void> {
  while (document.hidden && !signal.aborted) {
    await new Promise<void>((resolve) => {
      const done = () => {
        document.removeEventListener('visibilitychange', done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      document.addEventListener('visibilitychange', done);
      signal.addEventListener('abort', done);
    });
  }
}

/** Calls back once the page has been hidden for a while; returns what ends that. */
function whenHidden(callback: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(callback, HIDDEN_GRACE);
  };
  look();
  document.addEventListener('visibilitychange', look);
  return () => {
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', look);
  };
}

export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done);
  });
}
