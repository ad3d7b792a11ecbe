/** JSON whose integers keep every digit: those that a double cannot hold become bigint. */

export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };
export type JsonObject = Record<string, Json>;

/** Only a text with so many digits in a row can hold a number that a double rounds. */
const MANY_DIGITS = /\d{16}/;
/** A text, which is passed over, or an integer with many digits. */
const TEXT_OR_LARGE_INTEGER = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;

/** Throws SyntaxError for what is no JSON. */
export function parseJson(text: string): Json {
  return (MANY_DIGITS.test(text) ? parseExactly(text) : JSON.parse(text)) as Json;
}

/** Large integers take the detour of marked texts, for not all browsers tell a reviver how a number was written. */
function parseExactly(text: string): unknown {
  JSON.parse(text); // what is no JSON is refused as it is
  const mark = `${Math.random()}:`;
  const marked = text.replace(TEXT_OR_LARGE_INTEGER, (found, at: number) =>
    found.startsWith('"') || /[\d.]/.test(text[at - 1] ?? '') || Number.isSafeInteger(Number(found)) ? found : `"${mark}${found}"`,
  );
  return JSON.parse(marked, (_key, value: unknown) => (typeof value === 'string' && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value));
}

/** JSON text; bigint as its digits. */
export function toJson(value: unknown, indent = 0): string {
  return write(value, indent > 0 ? '\n' : '', ' '.repeat(indent));
}

/** Written by hand: `JSON.rawJSON` is not everywhere yet, and a replacer cannot emit digits without it. */
function write(value: unknown, line: string, indent: string): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value === undefined ? 'null' : JSON.stringify(value);
  const inner = line && line + indent;
  const colon = line ? ': ' : ':';
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[${inner}${value.map((item) => write(item, inner, indent)).join(`,${inner}`)}${line}]`;
  }
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  if (members.length === 0) return '{}';
  const texts = members.map(([name, member]) => `${JSON.stringify(name)}${colon}${write(member, inner, indent)}`);
  return `{${inner}${texts.join(`,${inner}`)}${line}}`;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether two values are the same JSON; the order of members does not count. */
export function sameJson(one: Json | undefined, other: Json | undefined): boolean {
  if (one === other) return true;
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, index) => sameJson(item, other[index]));
  }
  if (!isObject(one) || !isObject(other)) return false;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => name in other && sameJson(one[name], other[name]));
}
