import { PbfWriter } from 'pbf';
import { describe, expect, it } from 'vitest';
import { ServerAway } from '../src/api/errors';
import { EventDecoder } from '../src/api/events';
import type { TaskEvent } from '../src/api/types';

const nothing: unknown = undefined;
const SECOND = 1_795_252_653;

function time(writer: PbfWriter, field: number, seconds: number, nanos = 0): void {
  writer.writeMessage(
    field,
    (_, inner) => {
      inner.writeVarintField(1, seconds);
      if (nanos > 0) inner.writeVarintField(2, nanos);
    },
    nothing,
  );
}

/** A response with one event, of the field `kind`. */
function response(sequence: number, kind: number, write: (writer: PbfWriter) => void): Uint8Array {
  const writer = new PbfWriter();
  writer.writeMessage(
    1,
    (_, event) => {
      if (sequence > 0) event.writeVarintField(1, sequence);
      time(event, 2, SECOND, 805_999_999);
      if (kind > 0) event.writeMessage(kind, (__, inner) => write(inner), nothing);
    },
    nothing,
  );
  return writer.finish();
}

function status(writer: PbfWriter, field: number, word: number, terminated: boolean): void {
  writer.writeMessage(
    field,
    (_, inner) => {
      inner.writeVarintField(1, word);
      if (terminated) inner.writeBooleanField(2, true);
      time(inner, 3, SECOND, 5_000_000);
      if (terminated) time(inner, 4, SECOND + 2);
      time(inner, 5, 1, 995_000_000);
    },
    nothing,
  );
}

const RESPONSES = [
  response(1, 3, (writer) => status(writer, 1, 2, false)),
  response(2, 4, (writer) => {
    writer.writeStringField(1, 'llm_0');
    status(writer, 2, 4, true);
    writer.writeMessage(
      3,
      (_, snapshot) => {
        snapshot.writeStringField(1, 'loop_0[300]/llm_0');
        snapshot.writeMessage(
          3,
          (__, iteration) => {
            iteration.writeStringField(1, 'loop_0');
            iteration.writeVarintField(2, 300);
          },
          nothing,
        );
        snapshot.writeStringField(4, '{"digits": 12345678901234567890}');
        snapshot.writeStringField(7, 'else');
        snapshot.writeStringField(8, 'no paper — „really“');
        snapshot.writeStringField(99, 'from the future');
      },
      nothing,
    );
  }),
  response(0, 6, (writer) => {
    writer.writeStringField(1, 'llm_0');
    writer.writeStringField(2, 'llm_0');
    writer.writeStringField(3, 'Hé');
    writer.writeBooleanField(4, true);
  }),
  response(0, 0, () => undefined), // a heartbeat
  response(3, 5, (writer) => {
    writer.writeStringField(1, 'm');
    writer.writeVarintField(2, 5);
    writer.writeStringField(3, 'said');
  }),
  response(2 ** 40, 77, (writer) => writer.writeStringField(1, 'from the future')),
  response(2 ** 40 + 1, 3, (writer) => {
    status(writer, 1, 3, true);
    writer.writeStringField(2, '{"a": [1]}');
  }),
];
const BODY = Uint8Array.from(RESPONSES.flatMap((each) => [...each]));
const AT = SECOND * 1000 + 805;
const RUNNING = { status: 'processing', terminated: false, startTime: SECOND * 1000 + 5, timeCost: 1995 };
const EVENTS: unknown[] = [
  { type: 'task_status_changed', sequence: 1, timestamp: AT, workflowStatus: RUNNING },
  {
    type: 'node_status_changed',
    sequence: 2,
    timestamp: AT,
    nodeID: 'llm_0',
    nodeStatus: { ...RUNNING, status: 'failed', terminated: true, endTime: (SECOND + 2) * 1000 },
    snapshot: {
      id: 'loop_0[300]/llm_0',
      nodeID: 'llm_0',
      iterations: [{ loopNodeID: 'loop_0', index: 300 }],
      inputs: { digits: 12345678901234567890n },
      branch: 'else',
      error: 'no paper — „really“',
    },
  },
  { type: 'output_delta', timestamp: AT, nodeID: 'llm_0', snapshotID: 'llm_0', text: 'Hé', fromStart: true },
  { type: 'message', sequence: 3, timestamp: AT, message: { id: 'm', type: 'error', message: 'said', nodeID: '', timestamp: 0 } },
  { type: 'unknown', sequence: 2 ** 40, timestamp: AT },
  {
    type: 'task_status_changed',
    sequence: 2 ** 40 + 1,
    timestamp: AT,
    workflowStatus: { ...RUNNING, status: 'succeeded', terminated: true, endTime: (SECOND + 2) * 1000 },
    outputs: { a: [1] },
  },
];

describe('EventDecoder', () => {
  it('gives the same events however the body is cut', () => {
    for (let size = 1; size <= BODY.length; size += size < 80 ? 1 : 37) {
      const decoder = new EventDecoder();
      const events: TaskEvent[] = [];
      for (let at = 0; at < BODY.length; at += size) events.push(...decoder.push(BODY.slice(at, at + size)));
      expect(events).toEqual(EVENTS);
    }
  });

  it('does not give an event that was cut off', () => {
    expect(new EventDecoder().push(BODY.slice(0, 20))).toEqual([]);
  });

  it('says why a watch ended', () => {
    const writer = new PbfWriter();
    writer.writeStringField(1000, '{"code": "UNAVAILABLE", "message": "it is away", "errors": []}');
    const body = writer.finish();
    const failed = () => new EventDecoder().push(body);
    expect(failed).toThrow(ServerAway);
    expect(failed).toThrow('it is away');
  });
});
