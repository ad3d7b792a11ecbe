import { describe, expect, it } from 'vitest';
import type { Json } from '../src/api/json';
import { fieldOf, finish, initial, maskedPaths, typed, typedText, Typed } from '../src/model/forms';

const SCHEMA: Json = {
  type: 'object',
  required: ['text', 'count', 'order'],
  properties: {
    text: { type: 'string' },
    note: { type: 'string', default: 'none' },
    count: { type: 'integer' },
    rate: { type: 'number' },
    on: { type: 'boolean' },
    at: { type: 'date-time' },
    color: { type: 'string', enum: ['red', 'green'] },
    order: { type: 'object', required: ['id'], properties: { id: { type: 'string' }, lines: { type: 'array', items: { type: 'integer' } } } },
    prices: { type: 'map', additionalProperties: { type: 'number' } },
    anything: {},
    referenced: { $ref: '#/x' },
  },
};

describe('fieldOf', () => {
  it('knows all types of the schema', () => {
    const field = fieldOf(SCHEMA);
    expect(field.properties.map(([name, each]) => [name, each.kind])).toEqual([
      ['text', 'string'],
      ['note', 'string'],
      ['count', 'integer'],
      ['rate', 'number'],
      ['on', 'boolean'],
      ['at', 'date-time'],
      ['color', 'enum'],
      ['order', 'object'],
      ['prices', 'map'],
      ['anything', 'json'],
      ['referenced', 'json'],
    ]);
  });

  it('edits an object of unknown members as JSON, and one of values of a type as a map', () => {
    const kinds = (schema: Json) => fieldOf({ type: 'object', properties: { x: schema } }).properties.map(([, each]) => each.kind);
    expect(kinds({ type: 'object' })).toEqual(['json']);
    expect(kinds({ type: 'object', additionalProperties: { type: 'string' } })).toEqual(['map']);
  });

  it('ends on schemas that are deep', () => {
    let schema: Json = { type: 'string' };
    for (let depth = 0; depth < 64; depth += 1) schema = { type: 'array', items: schema };
    expect(JSON.stringify(fieldOf(schema)).length).toBeLessThan(5000);
  });
});

describe('inputs from a form', () => {
  it('begin with defaults and with what is required', () => {
    expect(finish(fieldOf(SCHEMA), initial(fieldOf(SCHEMA)))).toEqual({
      value: { text: '', note: 'none', order: { id: '' } },
      problems: [{ path: 'count', kind: 'missing' }],
    });
  });

  it('read a default that is JSON text', () => {
    const field = fieldOf({ type: 'object', properties: { list: { type: 'array', items: { type: 'integer' }, default: '[1, 2]' } } });
    expect(initial(field)).toEqual({ list: [1, 2] });
  });

  it('keep every digit of a number', () => {
    const field = fieldOf({ type: 'object', properties: { id: { type: 'integer' } } });
    const { value, problems } = finish(field, { id: typed('12345678901234567890', 'integer') });
    expect(value).toEqual({ id: 12345678901234567890n });
    expect(problems).toEqual([]);
  });

  it('tell what is no value of the type, with its place', () => {
    const field = fieldOf(SCHEMA);
    const draft = { text: 'a', count: typed('1.5', 'integer'), rate: typed('x', 'number'), at: 'yesterday', anything: typed('{', 'json'), order: { id: '1', lines: [typed('one', 'integer')] } };
    expect(finish(field, draft).problems).toEqual([
      { path: 'count', kind: 'integer' },
      { path: 'rate', kind: 'number' },
      { path: 'at', kind: 'date-time' },
      { path: 'order.lines[0]', kind: 'integer' },
      { path: 'anything', kind: 'json' },
    ]);
  });

  it('keep members that the schema does not name', () => {
    expect(finish(fieldOf(SCHEMA), { text: '', count: 1, order: { id: '' }, more: [true] }).value).toMatchObject({ more: [true] });
  });
});

describe('typed', () => {
  it('keeps text as it is being typed', () => {
    expect(typed('', 'integer')).toBeUndefined();
    expect(typed('12', 'integer')).toBe(12);
    expect(typed('1.0', 'integer')).toBeInstanceOf(Typed);
    expect(typedText(typed('1.0', 'integer'))).toBe('1.0');
    expect(typedText(typed('{ "a": 1 }', 'json'))).toBe('{ "a": 1 }');
  });
});

it('finds the secrets that the server hides', () => {
  expect(maskedPaths({ key: 'sk-…3f2a', list: [{ token: '…' }], text: 'and so on…' })).toEqual(['key', 'list[0].token']);
});
