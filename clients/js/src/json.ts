/**
 * JSON text from and to values: strict on the way out, exact on the way in.
 *
 * `JSON.parse` rounds integers beyond 2^53 without a word. Here they come as BigInt, and BigInt goes out as digits.
 */

import { randomUUID } from "node:crypto";

import { InvalidValueError } from "./errors.js";

/** A value of JSON. Integers that a number cannot hold exactly are BigInt. */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;

/** An object of JSON. */
export interface JsonObject {
  [key: string]: JsonValue;
}

/** A JSON object: a plain object, which may hold BigInt, or JSON text, which is sent as it is. */
export type JsonSource = object | string;

// Fewer digits than these are always exact.
const SUSPECT = /\d{16}/;
const TOKEN = /"|-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/g;

/**
 * The value of a JSON text; integers beyond 2^53 as BigInt.
 *
 * @throws SyntaxError if the text is not JSON
 */
export function parse(text: string): JsonValue {
  if (!SUSPECT.test(text)) {
    return JSON.parse(text) as JsonValue;
  }
  // Big integers are put in quotes behind a mark that nobody can know, for JSON's own parser to do the rest.
  const mark = `${randomUUID()}:`;
  const pieces: string[] = [];
  let copied = 0;
  TOKEN.lastIndex = 0;
  for (let token = TOKEN.exec(text); token !== null; token = TOKEN.exec(text)) {
    const found = token[0];
    if (found === '"') {
      TOKEN.lastIndex = endOfString(text, token.index);
    } else if (token[1] === undefined && token[2] === undefined && !Number.isSafeInteger(Number(found))) {
      pieces.push(text.slice(copied, token.index), `"${mark}${found}"`);
      copied = TOKEN.lastIndex;
    }
  }
  if (pieces.length === 0) {
    return JSON.parse(text) as JsonValue;
  }
  pieces.push(text.slice(copied));
  return JSON.parse(pieces.join(""), (_key, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  ) as JsonValue;
}

/** Where a string that begins at `start` has ended; the end of the text if it never does. */
export function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === 0x5c) {
      backslashes++;
    }
    if (backslashes % 2 === 0) {
      return quote + 1;
    }
  }
  return text.length;
}

/**
 * The JSON text of a value; BigInt as digits. What JSON cannot hold is refused, where `JSON.stringify` would make
 * something else of it: NaN, Infinity, functions, Map and Set, what contains itself.
 *
 * @throws InvalidValueError with the path in its text, beginning with `name`
 */
export function stringify(value: unknown, name = "value"): string {
  const mark = `${randomUUID()}:`;
  let marked = false;
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (_key, each: unknown) => {
      if (typeof each === "bigint") {
        marked = true;
        return mark + each.toString();
      }
      if (problemOf(each) !== undefined) {
        throw new InvalidValueError();
      }
      return each;
    });
  } catch (error) {
    throw new InvalidValueError(explain(value, name), { cause: error });
  }
  if (text === undefined) {
    throw new InvalidValueError(`${name}: ${typeof value} is not a JSON value`);
  }
  return marked ? text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1") : text;
}

/**
 * The text to send for a JSON object. A text is taken as it is, for the server to judge.
 *
 * @throws InvalidValueError if it cannot be sent
 */
export function toText(source: JsonSource, name: string): string {
  if (typeof source === "string") {
    if (!isWellFormed(source)) {
      throw new InvalidValueError(`${name}: the text holds a lone surrogate, which is not valid Unicode`);
    }
    return source;
  }
  if (typeof source !== "object" || source === null || Array.isArray(source)) {
    const given = Array.isArray(source) ? "an array" : source === null ? "null" : typeof source;
    throw new InvalidValueError(`${name}: expected an object or JSON text, not ${given}`);
  }
  return stringify(source, name);
}

/** The object of a JSON text; undefined for no text. */
export function fromText(text: string): JsonObject | undefined {
  return text === "" ? undefined : (parse(text) as JsonObject);
}

function problemOf(value: unknown): string | undefined {
  if (typeof value === "number" && !Number.isFinite(value)) {
    return `${value} is not a JSON number`;
  }
  if (typeof value === "function" || typeof value === "symbol") {
    return `a ${typeof value} is not a JSON value`;
  }
  if (value instanceof Map || value instanceof Set) {
    return `a ${value.constructor.name} is not a JSON value`;
  }
  return undefined;
}

/** The first value, in order, that JSON cannot hold, with its path. */
function explain(root: unknown, name: string): string {
  const stack: { value: unknown; path: string; above: readonly unknown[] }[] = [{ value: root, path: name, above: [] }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { value, path, above } = top;
    if (above.includes(value)) {
      return `${path}: contains itself`;
    }
    const problem = problemOf(value);
    if (problem !== undefined) {
      return `${path}: ${problem}`;
    }
    if (typeof value === "object" && value !== null && !("toJSON" in value)) {
      const inside = Object.entries(value).map(([key, each]) => ({
        value: each as unknown,
        path: Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`,
        above: [...above, value],
      }));
      stack.push(...inside.reverse());
    }
  }
  return `${name}: nested too deeply`;
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
