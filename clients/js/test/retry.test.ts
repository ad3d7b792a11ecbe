import assert from "node:assert/strict";
import { test } from "node:test";

import { delayAfter, policyFrom, RECONNECT, RETRY } from "../src/retry.js";

test("waits double, keep their upper half to chance, and end with the attempts", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((failures) => delayAfter(RETRY, failures, () => 0)),
    [50, 100, 200, 400, undefined],
  );
  assert.equal(
    delayAfter(RETRY, 1, () => 0.5),
    75,
  );
  assert.equal(
    delayAfter({ ...RECONNECT, attempts: Infinity }, 5000, () => 0),
    2500,
  );
});

test("the server's advice is a lower bound", () => {
  assert.equal(
    delayAfter(RETRY, 1, () => 0, 7000),
    7000,
  );
  assert.equal(
    delayAfter(RETRY, 1, () => 0, 10),
    50,
  );
});

test("numbers that make no policy are refused", () => {
  for (const changes of [{ attempts: 0 }, { initialMs: -1 }, { multiplier: 0.5 }, { maximumMs: NaN }]) {
    assert.throws(() => policyFrom(RETRY, changes), RangeError);
  }
});
