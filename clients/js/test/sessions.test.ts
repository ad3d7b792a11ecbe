import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";

import { IDLE_MS, LONGEST_MS, MAX_OF_ONE, MAX_SESSIONS, Sessions } from "../gateway/sessions.js";

const request = (name: string) =>
  ({ method: "GET", headers: { cookie: `a=b; flowgram_session=${name}` }, socket: {} }) as unknown as IncomingMessage;

test("sessions end after hours without a request, and after a week anyway", () => {
  let now = 0;
  const sessions = new Sessions(() => now);
  const idle = request(sessions.begin("Bearer a"));
  assert.equal(sessions.authorization(idle), "Bearer a");
  now += IDLE_MS + 1;
  assert.equal(sessions.authorization(idle), undefined);
  const busy = request(sessions.begin("Bearer b"));
  const began = now;
  while (now - began + IDLE_MS <= LONGEST_MS) {
    now += IDLE_MS;
    assert.equal(sessions.authorization(busy), "Bearer b");
  }
  now += IDLE_MS;
  assert.equal(sessions.authorization(busy), undefined);
});

test("beyond their number, the session that was used least lately ends", () => {
  const sessions = new Sessions(() => 0);
  const [first = "", second = ""] = Array.from({ length: MAX_SESSIONS }, (_, number) => sessions.begin(`Bearer ${number}`));
  assert.equal(sessions.authorization(request(first)), "Bearer 0");
  sessions.begin("Bearer more");
  assert.equal(sessions.authorization(request(first)), "Bearer 0");
  assert.equal(sessions.authorization(request(second)), undefined);
});

test("signing in again and again ends sessions of one's own, and nobody else's", () => {
  const sessions = new Sessions(() => 0);
  const other = sessions.begin("Bearer other");
  const [first = "", second = ""] = Array.from({ length: MAX_OF_ONE + 1 }, () => sessions.begin("Bearer a"));
  assert.equal(sessions.authorization(request(first)), undefined);
  assert.equal(sessions.authorization(request(second)), "Bearer a");
  assert.equal(sessions.authorization(request(other)), "Bearer other");
});
