/** The watch of a task through any gateway: in the contract's own encoding, or as Server-Sent Events. */

import { afterEach, expect, test, vi } from 'vitest';
import { ServerAway } from '../src/api/errors';
import { eventAt } from '../src/api/watch';

afterEach(() => vi.unstubAllGlobals());

function answerWith(type: string, body: BodyInit): { accepted: () => string | null } {
  let accepted: string | null = null;
  vi.stubGlobal('fetch', (_: string, options: RequestInit) => {
    accepted = new Headers(options.headers).get('Accept');
    return Promise.resolve(new Response(body, { headers: { 'Content-Type': type } }));
  });
  return { accepted: () => accepted };
}

const { signal } = new AbortController();
const SENT = '{"type":"task_status_changed","sequence":3,"time":5,"workflowStatus":{"status":"processing"}}';

test('a gateway without protobuf answers with Server-Sent Events', async () => {
  const answer = answerWith('text/event-stream; charset=utf-8', `retry: 1000\n\n: heartbeat\n\nid: 3\ndata: ${SENT}\n\n`);
  expect(await eventAt('t1', 3, signal)).toEqual(JSON.parse(SENT));
  expect(answer.accepted()).toBe('application/x-protobuf, text/event-stream');
});

test('a failure that is sent as an event is one', async () => {
  answerWith('text/event-stream', 'event: failure\ndata: {"code":"UNAVAILABLE","message":"gone"}\n\n');
  await expect(eventAt('t1', 3, signal)).rejects.toThrow(ServerAway);
});

test('an event comes in the encoding of the contract', async () => {
  // sequence 3, and a task status that is empty
  answerWith('application/x-protobuf', new Uint8Array([0x0a, 0x00, 0x0a, 0x04, 0x08, 0x03, 0x1a, 0x00]));
  expect(await eventAt('t1', 3, signal)).toMatchObject({ sequence: 3 });
});

test('something in between that answers with a page is not the server', async () => {
  answerWith('text/html', '<html>');
  await expect(eventAt('t1', 3, signal)).rejects.toThrow(ServerAway);
});
