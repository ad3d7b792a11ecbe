/** The contents of a request: its JSON body and the parameters of its query, with all that is wrong with them. */

import { View, type Status } from "../src/contract.js";
import type { ByteShare } from "./byte_budget.js";
import { membersOf } from "./documents.js";
import { STATUSES } from "./encoding.js";
import type { Exchange } from "./exchange.js";
import { invalid, Problem } from "./problem.js";

const LAST_SEQUENCE = 2n ** 63n - 1n;
const LARGEST_PAGE = 1000;
const LONGEST_NAME = 256;
const MALFORMED = /%(?![0-9a-fA-F]{2})/;
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json$/;

// So many times the limit is read of a body that is too large: a client that still sends may not see the answer.
const DISCARDED = 4;

/** Collects what is wrong with a request. */
class Problems {
  private readonly texts = new Set<string>();

  add(text: string): void {
    this.texts.add(text);
  }

  /** @throws Problem with all that is wrong */
  check(): void {
    if (this.texts.size > 0) {
      throw invalid(...[...this.texts].sort());
    }
  }
}

/** The members of a JSON object in a body: `values` as JavaScript has them, `sources` as they came. Read all, then `check`. */
export class Body extends Problems {
  constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly sources: ReadonlyMap<string, string>,
  ) {
    super();
  }

  /** A string that must be there, and not be empty. */
  required(name: string): string {
    const value = this.values[name];
    if (value === undefined) {
      this.add(`${name}: is required`);
    } else if (typeof value !== "string") {
      this.add(`${name}: must not be ${kindOf(value)}`);
    } else if (value === "") {
      this.add(`${name}: must not be empty`);
    } else {
      return value;
    }
    return "";
  }

  /** A string that is the only member; undefined: it is none. */
  only(name: string): string | undefined {
    const value = this.values[name];
    return Object.keys(this.values).length === 1 && typeof value === "string" ? value : undefined;
  }

  /** A string that need not be there, and must be short. */
  name(name: string): string {
    const { [name]: value = "" } = this.values;
    if (typeof value !== "string") {
      this.add(`${name}: must not be ${kindOf(value)}`);
      return "";
    }
    if ([...value].length > LONGEST_NAME) {
      this.add(`${name}: must have at most ${LONGEST_NAME} characters`);
    }
    return value;
  }

  /** A whole number from 0 on that need not be there. */
  integer(name: string, largest: number): number {
    const { [name]: value = 0 } = this.values;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > largest) {
      this.add(`${name}: must be a whole number from 0 to ${largest}`);
      return 0;
    }
    return value;
  }

  /** The text of a JSON object that must be there. */
  object(name: string): string {
    const value = this.values[name];
    if (value === undefined) {
      this.add(`${name}: is required`);
    } else if (typeof value !== "object" || value === null || Array.isArray(value)) {
      this.add(`${name}: must be an object`);
    }
    return this.sources.get(name) ?? "";
  }

  /** An object of strings. */
  strings(name: string): Record<string, string> {
    const { [name]: value = {} } = this.values;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      this.add(`${name}: must not be ${kindOf(value)}`);
      return {};
    }
    for (const [key, each] of Object.entries(value)) {
      if (typeof each !== "string") {
        this.add(`${name}.${key}: must not be ${kindOf(each)}`);
      }
    }
    return value as Record<string, string>;
  }
}

/**
 * The JSON object in the body of a request.
 *
 * That it must say that it is JSON is also a protection: a page of another origin cannot send that without asking first.
 */
export async function readBody(exchange: Exchange, maxBytes = exchange.bodyLimits.maxBytes): Promise<Body> {
  const kind = exchange.request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (!JSON_TYPE.test(kind)) {
    throw new Problem(415, "CONTENT_TYPE_UNSUPPORTED", "the Content-Type of the body must be application/json");
  }
  const share = exchange.bodies.open();
  try {
    return parseBody(await readBytes(exchange, share, Math.min(maxBytes, exchange.bodyLimits.maxBytes)));
  } finally {
    share.close();
  }
}

/** The JSON object that the bytes of a body, or of a line, are. */
export function parseBody(bytes: Uint8Array): Body {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes); // without the mark that editors on Windows write
  } catch {
    throw invalid("the body is no JSON: it is not UTF-8");
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`the body is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("the body must be a JSON object");
  }
  return new Body(value as Record<string, unknown>, membersOf(text));
}

async function readBytes(exchange: Exchange, share: ByteShare, maxBytes: number): Promise<Uint8Array> {
  const { readTimeoutMs, minBytesPerSecond } = exchange.bodyLimits;
  const chunks: Buffer[] = [];
  let size = 0;
  const began = performance.now();
  const iterator = exchange.request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  for (;;) {
    const late = began + readTimeoutMs + (size / minBytesPerSecond) * 1000 - performance.now();
    const { done, value } = await nextChunk(iterator, Math.max(Math.min(readTimeoutMs, late), 0));
    if (done === true) {
      break;
    }
    size += value.length;
    if (size > maxBytes) {
      chunks.length = 0;
      share.close();
    } else if (!share.take(value.length)) {
      throw new Problem(503, "OVERLOADED", "too many large requests at once: try again", [], 1000);
    } else {
      chunks.push(value);
    }
    if (size > maxBytes * DISCARDED) {
      break;
    }
  }
  if (size > maxBytes) {
    throw new Problem(413, "BODY_TOO_LARGE", `the body of the request has more than ${maxBytes} bytes`);
  }
  return Buffer.concat(chunks);
}

/** The next piece of a body, which must come in so many milliseconds; undefined: it may take its time. */
export async function nextChunk(
  iterator: AsyncIterator<Buffer>,
  timeoutMs: number | undefined,
): Promise<IteratorResult<Buffer>> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    const late = new Problem(408, "BODY_TIMED_OUT", "the body of the request did not come in time");
    timer = timeoutMs === undefined ? undefined : setTimeout(() => reject(late), timeoutMs);
  });
  try {
    return await Promise.race([iterator.next(), timeout]);
  } catch (error) {
    throw error instanceof Problem ? error : invalid("the body did not come to its end");
  } finally {
    clearTimeout(timer);
  }
}

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
}

/** The parameters in the query of a request. Read them all, then `check` them. */
export class Parameters extends Problems {
  private readonly values: URLSearchParams;

  constructor(query: string) {
    super();
    this.values = new URLSearchParams(query);
    if (MALFORMED.test(query)) {
      this.add("the query is malformed");
    }
  }

  text(name: string): string {
    return this.values.get(name) ?? "";
  }

  taskId(): string {
    const id = this.text("taskID");
    if (id === "") {
      this.add("taskID: is required");
    }
    return id;
  }

  flag(name: string): boolean {
    const value = this.text(name);
    if (!["", "true", "false", "1", "0"].includes(value)) {
      this.add(`${name}: must be true or false`);
    }
    return value === "true" || value === "1";
  }

  statuses(): Status[] {
    return this.values.getAll("status").flatMap((word) => {
      const status = STATUSES.get(word);
      if (status === undefined) {
        this.add("status: must be pending, processing, succeeded, failed or canceled");
        return [];
      }
      return [status];
    });
  }

  labels(): Record<string, string> {
    const labels = this.values.getAll("label").map((label) => {
      const [, key, value] = /^([^=]+)=([^]*)$/.exec(label) ?? [];
      if (key === undefined || value === undefined) {
        this.add("label: must be KEY=VALUE");
        return [];
      }
      return [[key, value] as const];
    });
    return Object.fromEntries(labels.flat());
  }

  /** 0 if there is none. */
  pageSize(): number {
    const value = this.text("pageSize");
    if (value === "") {
      return 0;
    }
    if (!/^\d{1,5}$/.test(value) || Number(value) < 1 || Number(value) > LARGEST_PAGE) {
      this.add(`pageSize: must be a number from 1 to ${LARGEST_PAGE}`);
      return 0;
    }
    return Number(value);
  }

  /** Where a stream goes on: after the event that the header names, or the parameter. */
  sequence(header: string | undefined): number {
    const [name, value] = header === undefined ? ["after", this.text("after")] : ["Last-Event-ID", header];
    if (header === undefined && !this.values.has("after")) {
      return 0;
    }
    return this.parsedSequence(name, value);
  }

  /** The sequence of the last event that is wanted; Infinity: no bound. */
  until(): number {
    return this.values.has("until") ? this.parsedSequence("until", this.text("until")) : Infinity;
  }

  view(): View {
    const value = this.text("view");
    if (!["", "basic", "full"].includes(value)) {
      this.add("view: must be basic or full");
    }
    return value === "basic" ? View.BASIC : View.FULL;
  }

  private parsedSequence(name: string, value: string): number {
    if (!/^\d{1,19}$/.test(value) || BigInt(value) > LAST_SEQUENCE) {
      this.add(`${name}: must be the sequence of an event`);
      return 0;
    }
    return Math.min(Number(value), Number.MAX_SAFE_INTEGER); // beyond the end of any task
  }
}
