/** What a request says: its JSON body and the parameters of its query, with all that is wrong with them. */

import type { IncomingMessage } from "node:http";

import { fromJson } from "@bufbuild/protobuf";
import { DurationSchema, type Duration } from "@bufbuild/protobuf/wkt";

import { Status, View } from "../src/contract.js";
import { membersOf } from "./documents.js";
import { invalid, Problem } from "./problem.js";

const LAST_SEQUENCE = 2n ** 63n - 1n;
const PAGE_SIZE_LIMIT = 2 ** 31;
const MALFORMED = /;|%(?![0-9a-fA-F]{2})/;

/** The members of a JSON object in a body: `value` as JavaScript has it, `text` as it came. */
export class Body {
  constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    private readonly texts: ReadonlyMap<string, string>,
  ) {}

  /** A JSON object, as it came, or the text in a string; empty if there is none. */
  document(name: string): string {
    const value = this.values[name] ?? "";
    if (typeof value === "string") {
      return value;
    }
    if (typeof value !== "object" || Array.isArray(value)) {
      throw invalid("schema and inputs must be JSON objects, or strings that hold one");
    }
    return this.texts.get(name) ?? "";
  }

  string(name: string): string {
    const value = this.values[name] ?? "";
    if (typeof value !== "string") {
      throw invalid(`${name} must not be ${kindOf(value)}`);
    }
    return value;
  }

  flag(name: string): boolean {
    const value = this.values[name] ?? false;
    if (typeof value !== "boolean") {
      throw invalid(`${name} must not be ${kindOf(value)}`);
    }
    return value;
  }

  /** An object of strings. */
  strings(name: string): Record<string, string> {
    const value = this.values[name] ?? {};
    if (typeof value !== "object" || Array.isArray(value)) {
      throw invalid(`${name} must not be ${kindOf(value)}`);
    }
    for (const each of Object.values(value)) {
      if (typeof each !== "string") {
        throw invalid(`${name} must not be ${kindOf(each)}`);
      }
    }
    return value as Record<string, string>;
  }

  /** A duration, such as "1.5s". */
  duration(name: string): Duration | undefined {
    const value = this.values[name] ?? undefined;
    if (value === undefined) {
      return undefined;
    }
    try {
      return fromJson(DurationSchema, value as string);
    } catch {
      throw invalid(`${name} must be a duration such as "1.5s"`);
    }
  }
}

/**
 * The JSON object in the body of a request, which may have the `known` members.
 *
 * @param optional the body may be missing
 */
export async function readBody(
  request: IncomingMessage,
  known: readonly string[],
  limit: number,
  optional = false,
): Promise<Body> {
  const bytes = await readBytes(request, limit);
  if (bytes.length === 0 && optional) {
    return new Body({}, new Map());
  }
  // besides its meaning, this keeps the pages of other origins from running anything without having been allowed to
  const kind = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (kind !== "application/json") {
    throw new Problem(415, "CONTENT_TYPE_UNSUPPORTED", "the Content-Type of the body must be application/json");
  }
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`the body cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(`the body must be a JSON object, not ${kindOf(value)}`);
  }
  const stranger = Object.keys(value).find((name) => !known.includes(name));
  if (stranger !== undefined) {
    throw invalid(`the body cannot be read: unknown field ${JSON.stringify(stranger)}`);
  }
  return new Body(value as Record<string, unknown>, membersOf(text));
}

async function readBytes(request: IncomingMessage, limit: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) {
        throw new Problem(413, "BODY_TOO_LARGE", `the body of the request has more than ${limit} bytes`);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof Problem ? error : invalid("the body did not come to its end");
  }
  return Buffer.concat(chunks);
}

function kindOf(value: unknown): string {
  if (value === null) {
    return "null";
  }
  return typeof value === "boolean" ? "bool" : Array.isArray(value) ? "array" : typeof value;
}

/** The parameters in the query of a request. Read them all, then `check` them. */
export class Parameters {
  private readonly values: URLSearchParams;
  private readonly problems = new Set<string>();

  /** Names that are not among those that are known are refused. */
  constructor(query: string, ...known: string[]) {
    this.values = new URLSearchParams(query);
    if (MALFORMED.test(query)) {
      this.problems.add("the query is malformed");
    }
    for (const name of this.values.keys()) {
      if (!known.includes(name)) {
        this.problems.add(`${name} is not known`);
      }
    }
  }

  text(name: string): string {
    return this.values.get(name) ?? "";
  }

  flag(name: string): boolean {
    const value = this.text(name);
    if (!["", "true", "false"].includes(value)) {
      this.problems.add(`${name} must be true or false`);
    }
    return value === "true";
  }

  view(): View {
    const value = this.text("view");
    if (!["", "full", "basic"].includes(value)) {
      this.problems.add("view must be full or basic");
    }
    return value === "basic" ? View.BASIC : View.FULL;
  }

  statuses(): Status[] {
    return this.values.getAll("status").map((name) => {
      const status = Object.hasOwn(Status, name) ? Status[name as keyof typeof Status] : undefined;
      if (typeof status !== "number" || status === Status.UNSPECIFIED) {
        this.problems.add("status must be PENDING, PROCESSING, SUCCEEDED, FAILED or CANCELED");
        return Status.UNSPECIFIED;
      }
      return status;
    });
  }

  labels(): Record<string, string> {
    const labels = this.values.getAll("label").map((label) => {
      const [, key, value] = /^([^=]+)=([^]*)$/.exec(label) ?? [];
      if (key === undefined || value === undefined) {
        this.problems.add("label must be key=value");
        return [];
      }
      return [[key, value] as const];
    });
    return Object.fromEntries(labels.flat());
  }

  pageSize(): number {
    const value = this.text("page_size");
    if (!/^([+-]?\d+)?$/.test(value) || Math.abs(Number(value)) >= PAGE_SIZE_LIMIT) {
      this.problems.add("page_size must be a number");
      return 0;
    }
    return Number(value);
  }

  /** Where a stream goes on: after the event that the header names, or the parameter. */
  sequence(header: string): number {
    const [name, value] = header === "" ? ["after", this.text("after")] : ["Last-Event-ID", header];
    if (!/^\d*$/.test(value) || BigInt(value) > LAST_SEQUENCE) {
      this.problems.add(`${name} must be the sequence of an event`);
      return 0;
    }
    return Math.min(Number(value), Number.MAX_SAFE_INTEGER); // beyond the end of any task
  }

  /** @throws Problem with all that is wrong */
  check(): void {
    if (this.problems.size > 0) {
      throw invalid(...[...this.problems].sort());
    }
  }
}
