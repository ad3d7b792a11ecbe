/** Where two JSON values differ. */

import { isObject, sameJson, type Json } from '../api/json';

export interface Difference {
  path: string;
  /** undefined: not there. */
  one: Json | undefined;
  other: Json | undefined;
}

const MOST = 200;

/** The first differences, by path; the value as a whole has the path `$`. */
export function differences(one: Json | undefined, other: Json | undefined): Difference[] {
  const found: Difference[] = [];
  compare(one, other, '$', found);
  return found;
}

function compare(one: Json | undefined, other: Json | undefined, path: string, found: Difference[]): void {
  if (found.length >= MOST || sameJson(one, other)) return;
  if (isObject(one) && isObject(other)) {
    for (const name of new Set([...Object.keys(one), ...Object.keys(other)])) compare(own(one, name), own(other, name), `${path}.${name}`, found);
  } else if (Array.isArray(one) && Array.isArray(other)) {
    for (let index = 0; index < Math.max(one.length, other.length); index += 1) compare(one[index], other[index], `${path}[${index}]`, found);
  } else {
    found.push({ path, one, other });
  }
}

function own(value: Record<string, Json>, name: string): Json | undefined {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}
