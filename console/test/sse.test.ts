import { describe, expect, it } from 'vitest';
import { EventParser, readEvents } from '../src/api/sse';

const TEXT = 'retry: 1000\n\nid: 1\ndata: {"a":1}\n\n: heartbeat\n\nevent: failure\r\ndata: one\r\ndata: two\r\n\r\n';

describe('EventParser', () => {
  it('gives the same events however the text is cut', () => {
    for (let size = 1; size <= TEXT.length; size += 1) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < TEXT.length; at += size) events.push(...parser.push(TEXT.slice(at, at + size)));
      expect(events).toEqual([
        { event: 'message', id: '1', data: '{"a":1}' },
        { event: 'failure', id: '', data: 'one\ntwo' },
      ]);
    }
  });

  it('does not give an event that was cut off', () => {
    expect(new EventParser().push('data: 1\n')).toEqual([]);
  });
});

describe('readEvents', () => {
  it('reads a body to its end, with characters cut in two', async () => {
    const bytes = new TextEncoder().encode('data: "é…"\n\n');
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    const found: string[] = [];
    await readEvents(new Response(body), 1000, (events) => found.push(...events.map((event) => event.data)));
    expect(found).toEqual(['"é…"']);
  });

  it('rejects when nothing comes', async () => {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>();
    await expect(readEvents(new Response(body), 5, () => undefined)).rejects.toThrow('silent');
  });

  it('rejects when the connection breaks', async () => {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        controller.error(new Error('reset'));
      },
    });
    await expect(readEvents(new Response(body), 1000, () => undefined)).rejects.toThrow('reset');
  });
});
