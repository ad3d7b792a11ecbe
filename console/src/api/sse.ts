/** Reads Server-Sent Events: `EventSource` can neither send headers nor tell a status. */

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
  readonly #decoder = new TextDecoder();

  /** The events that end in this piece of a body. */
  push(bytes: Uint8Array): SentEvent[] {
    return this.pushText(this.#decoder.decode(bytes, { stream: true }));
  }

  /** The events that end in this piece of text. */
  pushText(text: string): SentEvent[] {
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
