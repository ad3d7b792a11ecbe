import { describe, expect, it } from 'vitest';
import { parseJson, sameJson, toJson } from '../src/api/json';
import { differences } from '../src/model/diff';

describe('JSON', () => {
  it('keeps every digit of integers', () => {
    const text = '{"id":12345678901234567890,"small":1,"fraction":0.1234567890123456789}';
    const value = parseJson(text);
    expect(value).toMatchObject({ id: 12345678901234567890n, small: 1 });
    expect(toJson(value)).toContain('"id":12345678901234567890,');
  });

  it('leaves digits in texts alone', () => {
    expect(parseJson('{"a":"12345678901234567890"}')).toEqual({ a: '12345678901234567890' });
  });

  it('keeps members with any name', () => {
    const text = '{"__proto__":{"x":1},"constructor":2}';
    expect(toJson(parseJson(text))).toBe(text);
  });

  it('is written with an indent as JSON.stringify writes it', () => {
    const value = { a: [1, { b: null }], c: {}, d: [], e: 'x"y' };
    expect(toJson(value, 2)).toBe(JSON.stringify(value, null, 2));
    expect(toJson(value)).toBe(JSON.stringify(value));
  });

  it('refuses what is no JSON', () => {
    expect(() => parseJson('{')).toThrow(SyntaxError);
  });

  it('is compared whatever the order of members', () => {
    expect(sameJson(parseJson('{"a":1,"b":[2]}'), parseJson('{"b":[2],"a":1}'))).toBe(true);
    expect(sameJson({ a: 1 }, { a: 1, b: null })).toBe(false);
    expect(sameJson([1], { 0: 1 })).toBe(false);
  });
});

describe('differences', () => {
  it('names the places, and what is only on one side', () => {
    expect(differences({ a: 1, b: [1, 2], c: { d: 'x' } }, { a: 1, b: [1], c: { d: 'y' }, e: true })).toEqual([
      { path: '$.b[1]', one: 2, other: undefined },
      { path: '$.c.d', one: 'x', other: 'y' },
      { path: '$.e', one: undefined, other: true },
    ]);
  });

  it('takes a value that is not there for no inherited one', () => {
    expect(differences({}, { toString: 1 })).toEqual([{ path: '$.toString', one: undefined, other: 1 }]);
  });
});
