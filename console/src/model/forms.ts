/** The form of a workflow's inputs, from the JSON schema of its start node.
 *
 * A form edits a draft, which is the inputs as JSON where that is possible, and text where a number or a JSON value is being
 * typed. `undefined` means: not given.
 */

import { isObject, parseJson, toJson, type Json, type JsonObject } from '../api/json';

export type FieldKind = 'string' | 'integer' | 'number' | 'boolean' | 'enum' | 'date-time' | 'object' | 'array' | 'map' | 'json';

export interface Field {
  kind: FieldKind;
  title: string;
  description: string;
  required: boolean;
  nullable: boolean;
  options: Json[];
  default: Json | undefined;
  properties: [string, Field][];
  /** Of arrays and maps. */
  items: Field | undefined;
}

/** A value that is being typed and is no JSON yet. */
export class Typed {
  constructor(
    readonly text: string,
    readonly kind: 'integer' | 'number' | 'json',
  ) {}
}

export type Draft = undefined | null | boolean | string | number | bigint | Typed | Draft[] | { [key: string]: Draft };

/** Deeper schemas are edited as JSON. */
const DEEPEST = 8;

export function fieldOf(schema: Json | undefined, required = true, depth = 0): Field {
  const json = isObject(schema) ? schema : {};
  const type = typeof json['type'] === 'string' ? json['type'] : '';
  const options = Array.isArray(json['enum']) ? json['enum'] : [];
  const field: Field = {
    kind: 'json',
    title: text(json['title']),
    description: text(json['description']),
    required,
    nullable: json['nullable'] === true,
    options,
    default: json['default'],
    properties: [],
    items: undefined,
  };
  if (options.length > 0) return { ...field, kind: 'enum' };
  if (typeof json['$ref'] === 'string' || depth > DEEPEST) return field;
  switch (type) {
    case 'string':
      return { ...field, kind: json['format'] === 'date-time' ? 'date-time' : 'string' };
    case 'integer':
    case 'number':
    case 'boolean':
    case 'date-time':
      return { ...field, kind: type };
    case 'array':
      return { ...field, kind: 'array', items: fieldOf(json['items'], true, depth + 1) };
    case 'map':
      return { ...field, kind: 'map', items: fieldOf(json['additionalProperties'], true, depth + 1) };
    case 'object':
      return object(json, field, depth);
    default:
      return field;
  }
}

function object(json: JsonObject, field: Field, depth: number): Field {
  const properties = isObject(json['properties']) ? Object.entries(json['properties']) : [];
  if (properties.length === 0) {
    if (isObject(json['additionalProperties'])) return { ...field, kind: 'map', items: fieldOf(json['additionalProperties'], true, depth + 1) };
    return depth === 0 ? { ...field, kind: 'object' } : field;
  }
  const required = new Set(Array.isArray(json['required']) ? json['required'] : []);
  const place = (entry: Json) => {
    const extra = isObject(entry) && isObject(entry['extra']) ? entry['extra']['index'] : undefined;
    return typeof extra === 'number' ? extra : 0;
  };
  return {
    ...field,
    kind: 'object',
    properties: properties
      .toSorted((one, other) => place(one[1]) - place(other[1])) // the editor's own order
      .map(([name, schema]) => [name, fieldOf(schema, required.has(name), depth + 1)]),
  };
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** What a form begins with: defaults, and the least that a required field can be. */
export function initial(field: Field): Draft {
  if (field.default !== undefined && field.default !== null) return parsedDefault(field);
  if (field.kind === 'object' && (field.required || field.properties.some(([, each]) => each.default !== undefined))) {
    return Object.fromEntries(field.properties.map(([name, each]) => [name, initial(each)]));
  }
  if (!field.required) return undefined;
  switch (field.kind) {
    case 'string':
      return '';
    case 'boolean':
      return false;
    case 'array':
      return [];
    case 'map':
      return {};
    default:
      return undefined;
  }
}

/** A default of an object, array or map may be JSON text. */
function parsedDefault(field: Field): Draft {
  if (typeof field.default === 'string' && ['object', 'array', 'map', 'json'].includes(field.kind)) {
    try {
      return parseJson(field.default);
    } catch {
      return field.default;
    }
  }
  return field.default;
}

export interface DraftProblem {
  path: string;
  kind: 'missing' | 'integer' | 'number' | 'json' | 'date-time';
}

/** A draft as inputs, and what keeps it from being that. The server has the last word on the rest. */
export function finish(field: Field, draft: Draft): { value: Json | undefined; problems: DraftProblem[] } {
  const problems: DraftProblem[] = [];
  return { value: finished(field, draft, '', problems), problems };
}

function finished(field: Field | undefined, draft: Draft, path: string, problems: DraftProblem[]): Json | undefined {
  if (draft === undefined) {
    if (field?.required && path !== '') problems.push({ path, kind: 'missing' });
    return undefined;
  }
  if (draft instanceof Typed) {
    const value = readTyped(draft);
    if (value === undefined) problems.push({ path, kind: draft.kind });
    return value;
  }
  if (draft === null || typeof draft !== 'object') {
    if (field?.kind === 'date-time' && typeof draft === 'string' && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?$/.test(draft)) {
      problems.push({ path, kind: 'date-time' });
    }
    return draft;
  }
  if (Array.isArray(draft)) {
    return draft.map((item, index) => finished(field?.items, item, `${path}[${index}]`, problems) ?? null);
  }
  const known = new Map(field?.properties);
  const value: JsonObject = {};
  for (const name of new Set([...known.keys(), ...Object.keys(draft)])) {
    const inner = finished(known.get(name) ?? (field?.kind === 'map' ? field.items : undefined), draft[name], path ? `${path}.${name}` : name, problems);
    if (inner !== undefined) define(value, name, inner);
  }
  return value;
}

/** Also for names such as `__proto__`, which are names like any other. */
function define(target: JsonObject, name: string, value: Json): void {
  Object.defineProperty(target, name, { value, enumerable: true, writable: true, configurable: true });
}

/** undefined: it is no such value. Integers keep every digit. */
export function readTyped(typed: Typed): Json | undefined {
  const trimmed = typed.text.trim();
  if (typed.kind === 'integer' && !/^-?\d+(\.0+)?$/.test(trimmed)) return undefined;
  try {
    const value = parseJson(trimmed);
    return typed.kind === 'json' || typeof value === 'number' || typeof value === 'bigint' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** How a value is shown in a text field. */
export function typedText(draft: Draft): string {
  if (draft === undefined) return '';
  if (draft instanceof Typed) return draft.text;
  return typeof draft === 'string' ? draft : toJson(draft, typeof draft === 'object' ? 2 : 0);
}

/** What a typed text makes of a field: nothing, while the field is empty. */
export function typed(text: string, kind: Typed['kind']): Draft {
  if (text.trim() === '') return undefined;
  const draft = new Typed(text, kind);
  const value = readTyped(draft);
  // Text that would be written otherwise stays as it is while it is being typed: 1.0, 007, { }.
  return value !== undefined && typeof value !== 'object' && typedText(value) === text ? value : draft;
}

/** Whether a value looks like what the server shows of a secret: `sk-…3f2a`, or `…`. */
export function isMasked(value: string): boolean {
  return value === '…' || /^.{3}….{4}$/su.test(value);
}

/** The paths of values that the server has masked: they must be put in again before a run. */
export function maskedPaths(value: Json | undefined, path = ''): string[] {
  if (typeof value === 'string') return isMasked(value) ? [path] : [];
  if (Array.isArray(value)) return value.flatMap((item, index) => maskedPaths(item, `${path}[${index}]`));
  if (isObject(value)) return Object.entries(value).flatMap(([name, item]) => maskedPaths(item, path ? `${path}.${name}` : name));
  return [];
}
