/** Reads Server-Sent Events from the body of a response: `EventSource` can neither send headers nor tell a status. */

export interface SentEvent {
  event: string;
  id: string;
  data: string;
}

/** Collects lines into events. */
export class EventParser {
  #rest = '';
  #event = '';
  #id = '';
  #data: string | undefined;

  /** The events that end in this piece of text. */
  push(text: string): SentEvent[] {
    const events: SentEvent[] = [];
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line.endsWith('\r') ? line.slice(0, -1) : line, events);
    return events;
  }

  #line(line: string, events: SentEvent[]): void {
    if (line === '') {
      if (this.#data !== undefined) events.push({ event: this.#event || 'message', id: this.#id, data: this.#data });
      this.#event = this.#id = '';
      this.#data = undefined;
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment: the connection lives
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'data') this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    else if (name === 'event') this.#event = value;
    else if (name === 'id') this.#id = value;
  }
}

/** Calls back with the events of each piece that comes, until the end. An empty list: a sign of life.
 *
 * Rejects if the connection breaks, or is silent for `silence` milliseconds, which is longer than the server's heartbeat.
 */
export async function readEvents(response: Response, silence: number, onEvents: (events: SentEvent[]) => void): Promise<void> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await within(silence, reader.read());
      if (done) return;
      onEvents(parser.push(value));
    }
  } finally {
    reader.cancel().catch(() => undefined); // it is over either way
  }
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('silent')), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
