import assert from "node:assert/strict";
import { test } from "node:test";

import { InvalidValueError, parse, stringify } from "../src/index.js";
import { toText } from "../src/json.js";

test("big integers come exactly, wherever they stand, and small numbers as numbers", () => {
  const text = '{"a":[9007199254740993,-12345678901234567890,1],"b":{"c":9007199254740991},"d":1.5e3}';
  assert.deepEqual(parse(text), {
    a: [9007199254740993n, -12345678901234567890n, 1],
    b: { c: 9007199254740991 },
    d: 1500,
  });
  assert.equal(parse("123456789012345678901234567890"), 123456789012345678901234567890n);
});

test("digits in strings and keys, and numbers with a fraction or an exponent, are left alone", () => {
  const text = String.raw`{"12345678901234567890":"x \" 12345678901234567890 \\","y":[1234567890123456789.5,12345678901234567890e1]}`;
  assert.deepEqual(parse(text), JSON.parse(text));
});

test("what goes out comes back: big integers, Unicode, lone surrogates, __proto__", () => {
  for (const value of [
    { a: 2n ** 64n, b: [-(2n ** 64n)] },
    { "ключ😀": "\u0000\ud800" },
    JSON.parse('{"__proto__":1}'),
  ]) {
    const text = stringify(value);
    assert.deepEqual(parse(text), value);
    assert.equal(new TextDecoder().decode(new TextEncoder().encode(text)), text);
  }
});

test("text that is no JSON is refused, with big integers in it too", () => {
  for (const text of ["", "{", '{"a":}', "01234567890123456789", "12345678901234567890 1", '"12345678901234567890']) {
    assert.throws(() => parse(text), SyntaxError, text);
  }
});

test("what JSON cannot hold is refused with its place", () => {
  const circular: Record<string, unknown> = {};
  circular["self"] = { circular };
  const cases: [object | string, RegExp][] = [
    [{ a: [1, { b: NaN }] }, /^inputs\.a\[1\]\.b: NaN is not a JSON number$/],
    [{ a: new Map() }, /^inputs\.a: a Map/],
    [{ a: () => 1 }, /^inputs\.a: a function/],
    [circular, /^inputs\.self\.circular: contains itself$/],
    [[1], /^inputs: expected an object or JSON text, not an array$/],
    ['{"a":"\ud800"}', /lone surrogate/],
  ];
  for (const [value, pattern] of cases) {
    assert.throws(
      () => toText(value, "inputs"),
      (error) => error instanceof InvalidValueError && pattern.test(error.message),
    );
  }
});

test("text is sent as it is, for the server to judge", () => {
  assert.equal(toText(' {"a": 1.0} ', "inputs"), ' {"a": 1.0} ');
});
