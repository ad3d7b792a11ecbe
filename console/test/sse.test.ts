import { describe, expect, it } from 'vitest';
import { readBody } from '../src/api/body';
import { EventParser } from '../src/api/sse';

const TEXT = 'retry: 1000\n\nid: 1\ndata: {"a":1}\n\n: heartbeat\n\nevent: failure\r\ndata: one\r\ndata: two\r\n\r\n';

describe('EventParser', () => {
  it('gives the same events however the text is cut', () => {
    for (let size = 1; size <= TEXT.length; size += 1) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < TEXT.length; at += size) events.push(...parser.pushText(TEXT.slice(at, at + size)));
      expect(events).toEqual([
        { event: 'message', id: '1', data: '{"a":1}' },
        { event: 'failure', id: '', data: 'one\ntwo' },
      ]);
    }
  });

  it('does not give an event that was cut off', () => {
    expect(new EventParser().pushText('data: 1\n')).toEqual([]);
  });
});

describe('readBody', () => {
  it('reads a body to its end, with characters cut in two', async () => {
    const bytes = new TextEncoder().encode('data: "é…"\n\n');
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    const parser = new EventParser();
    const found: string[] = [];
    await readBody(new Response(body), 1000, (piece) => {
      found.push(...parser.push(piece).map((event) => event.data));
      return false;
    });
    expect(found).toEqual(['"é…"']);
  });

  it('reads no more than is wanted', async () => {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({ pull: (controller) => controller.enqueue(new Uint8Array([1])) });
    let count = 0;
    await readBody(new Response(body), 1000, () => ++count === 3);
    expect(count).toBe(3);
  });

  it('rejects when nothing comes', async () => {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>();
    await expect(readBody(new Response(body), 5, () => false)).rejects.toThrow('silent');
  });

  it('rejects when the connection breaks', async () => {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        controller.error(new Error('reset'));
      },
    });
    await expect(readBody(new Response(body), 1000, () => false)).rejects.toThrow('reset');
  });
});
