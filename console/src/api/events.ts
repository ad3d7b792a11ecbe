/** Decodes the events of a task from the contract's own encoding, in which they are a third as large as JSON and read in no time.
 *
 * A body is one `WatchTaskResponse` that grows: events, each with its length before it. Field numbers are those of protos/.
 */

import { PbfReader } from 'pbf';
import { messageOf, ServerAway } from './errors';
import { parseJson, type Json, type JsonObject } from './json';
import type { Iteration, MessageWord, NodeStatusChanged, SnapshotNews, StatusInfo, StatusWord, TaskEvent } from './types';

export const PROTOBUF = 'application/x-protobuf';

const EVENT = 1;
/** Where the gateway says why a watch ended. */
const FAILURE = 1000;

const STATUSES: readonly StatusWord[] = ['pending', 'pending', 'processing', 'succeeded', 'failed', 'canceled'];
const MESSAGE_TYPES: readonly MessageWord[] = ['log', 'log', 'info', 'debug', 'warning', 'error'];

/** A longer text would keep the piece that it was cut out of in memory for little. */
const LONGEST_ID = 200;
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const oneByte = new TextDecoder('latin1');

class Reader extends PbfReader {
  /** All bytes as characters; what is not ASCII among them means nothing. */
  readonly ascii: string;

  constructor(bytes: Uint8Array) {
    super(bytes);
    this.ascii = oneByte.decode(bytes);
  }
}

/** Collects the pieces of a body into events. */
export class EventDecoder {
  #pieces: Uint8Array[] = [];
  #size = 0;
  /** So many bytes must be there before there is another event: a large one comes in many pieces. */
  #needed = 0;

  /** The events that end in this piece. Throws ServerAway if it says that the watch has failed. */
  push(piece: Uint8Array): TaskEvent[] {
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (this.#size < this.#needed) return [];
    const bytes = joined(this.#pieces, this.#size);
    const reader = new Reader(bytes);
    const events: TaskEvent[] = [];
    let complete = 0;
    this.#needed = 0;
    while (complete < bytes.length) {
      const field = delimited(bytes, complete);
      if (!field) break;
      if (field.end > bytes.length) {
        this.#needed = field.end - complete;
        break;
      }
      reader.pos = field.begin;
      if (field.number === EVENT) {
        const event = readEvent(reader, field.end);
        if (event) events.push(event);
      } else if (field.number === FAILURE) {
        throw new ServerAway(messageOf(utf8.decode(bytes.subarray(field.begin, field.end))));
      }
      complete = field.end;
    }
    const rest = bytes.slice(complete);
    this.#pieces = rest.length > 0 ? [rest] : [];
    this.#size = rest.length;
    return events;
  }
}

function joined(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const [only] = pieces;
  if (only && pieces.length === 1) return only;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Where the field is that begins at a position and has its length before it; undefined if that length is not all there yet. */
function delimited(bytes: Uint8Array, at: number): { number: number; begin: number; end: number } | undefined {
  const tag = varint(bytes, at);
  const length = tag && varint(bytes, tag.end);
  if (!length) return undefined;
  return { number: tag.value >>> 3, begin: length.end, end: length.end + length.value };
}

function varint(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = at, factor = 1; index < bytes.length; index += 1, factor *= 128) {
    const byte = bytes[index] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, end: index + 1 };
  }
  return undefined;
}

/** An event; of a kind that came later only its place in the log; undefined for what is no event but a sign of life. */
function readEvent(reader: Reader, end: number): TaskEvent | undefined {
  let sequence = 0;
  let timestamp = 0;
  let event: TaskEvent | undefined;
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    switch (field) {
      case 1:
        sequence = reader.readVarint();
        break;
      case 2:
        timestamp = readTime(reader);
        break;
      case 3:
        event = readTaskStatus(reader);
        break;
      case 4:
        event = readNodeStatus(reader);
        break;
      case 5:
        event = readMessage(reader);
        break;
      case 6:
        event = readDelta(reader);
        break;
      default: // came later
    }
  }
  if (!event && sequence === 0) return undefined;
  event ??= { type: 'unknown', timestamp };
  event.timestamp = timestamp;
  if (sequence > 0) event.sequence = sequence;
  return event;
}

function readTaskStatus(reader: Reader): TaskEvent {
  const end = messageEnd(reader);
  let workflowStatus = NO_STATUS;
  let outputs = '';
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    if (field === 1) workflowStatus = readStatus(reader);
    else if (field === 2) outputs = readText(reader);
  }
  return { type: 'task_status_changed', timestamp: 0, workflowStatus, ...(outputs !== '' && { outputs: parseJson(outputs) as JsonObject }) };
}

function readNodeStatus(reader: Reader): NodeStatusChanged {
  const end = messageEnd(reader);
  const event: NodeStatusChanged = { type: 'node_status_changed', timestamp: 0, nodeID: '', nodeStatus: NO_STATUS, snapshot: { id: '', nodeID: '' } };
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    if (field === 1) event.nodeID = readText(reader);
    else if (field === 2) event.nodeStatus = readStatus(reader);
    else if (field === 3) event.snapshot = readSnapshot(reader);
  }
  event.snapshot.nodeID = event.nodeID;
  return event;
}

const NO_STATUS: StatusInfo = { status: 'pending', terminated: false, startTime: 0, timeCost: 0 };

function readStatus(reader: Reader): StatusInfo {
  const end = messageEnd(reader);
  const info: StatusInfo = { ...NO_STATUS };
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    if (field === 1) info.status = STATUSES[reader.readVarint()] ?? 'pending';
    else if (field === 2) info.terminated = reader.readBoolean();
    else if (field === 3) info.startTime = readTime(reader);
    else if (field === 4) info.endTime = readTime(reader);
    else if (field === 5) info.timeCost = readTime(reader);
  }
  return info;
}

function readSnapshot(reader: Reader): SnapshotNews {
  const end = messageEnd(reader);
  const snapshot: SnapshotNews = { id: '', nodeID: '' };
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    if (field === 1) snapshot.id = readText(reader);
    else if (field === 3) (snapshot.iterations ??= []).push(readIteration(reader));
    else if (field === 4) setJson(snapshot, 'inputs', readText(reader));
    else if (field === 5) setJson(snapshot, 'outputs', readText(reader));
    else if (field === 7) snapshot.branch = readText(reader);
    else if (field === 8) snapshot.error = readText(reader);
  }
  return snapshot;
}

function setJson(snapshot: { inputs?: Json; outputs?: Json }, name: 'inputs' | 'outputs', text: string): void {
  if (text !== '') snapshot[name] = parseJson(text);
}

function readIteration(reader: Reader): Iteration {
  const end = messageEnd(reader);
  const iteration: Iteration = { loopNodeID: '', index: 0 };
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    if (field === 1) iteration.loopNodeID = readText(reader);
    else if (field === 2) iteration.index = reader.readVarint();
  }
  return iteration;
}

function readMessage(reader: Reader): TaskEvent {
  const end = messageEnd(reader);
  const message = { id: '', type: 'log' as MessageWord, message: '', nodeID: '', timestamp: 0 };
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    if (field === 1) message.id = readText(reader);
    else if (field === 2) message.type = MESSAGE_TYPES[reader.readVarint()] ?? 'log';
    else if (field === 3) message.message = readText(reader);
    else if (field === 4) message.nodeID = readText(reader);
    else if (field === 5) message.timestamp = readTime(reader);
  }
  return { type: 'message', timestamp: 0, message };
}

function readDelta(reader: Reader): TaskEvent {
  const end = messageEnd(reader);
  const event = { type: 'output_delta' as const, timestamp: 0, nodeID: '', snapshotID: '', text: '', fromStart: false };
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    if (field === 1) event.nodeID = readText(reader);
    else if (field === 2) event.snapshotID = readText(reader);
    else if (field === 3) event.text = readText(reader);
    else if (field === 4) event.fromStart = reader.readBoolean();
  }
  return event;
}

/** A moment or a span: seconds and nanoseconds, as whole milliseconds. */
function readTime(reader: Reader): number {
  const end = messageEnd(reader);
  let seconds = 0;
  let nanos = 0;
  for (let field = reader.nextField(end); field; field = reader.nextField(end)) {
    if (field === 1) seconds = reader.readVarint(true);
    else if (field === 2) nanos = reader.readVarint(true);
  }
  return seconds * 1000 + Math.trunc(nanos / 1_000_000);
}

/** Texts that are ASCII, as ids are, are cut out of the piece as a whole: to decode each by itself takes longer. */
function readText(reader: Reader): string {
  const end = messageEnd(reader);
  const { buf: bytes, pos: begin } = reader;
  reader.pos = end;
  if (end - begin <= LONGEST_ID) {
    let at = begin;
    while (at < end && (bytes[at] ?? 0) < 0x80) at += 1;
    if (at === end) return reader.ascii.slice(begin, end);
  }
  return utf8.decode(bytes.subarray(begin, end));
}

function messageEnd(reader: Reader): number {
  return reader.readVarint() + reader.pos;
}
