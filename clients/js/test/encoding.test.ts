import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import { compact, membersOf } from "../gateway/documents.js";
import { encode } from "../gateway/encoding.js";
import { ReportSchema, TaskEventSchema, TaskListResponseSchema, type Status } from "../src/contract.js";
import { succeeded } from "./support/scripted_server.js";

test("documents are embedded as they are, sequences are numbers, times and durations texts", () => {
  const event = succeeded(7, '{ "n": 12345678901234567890.10,\n "s": "a  \\" b" }');
  if (event.event.case === "taskStatusChanged" && event.event.value.status) {
    event.event.value.status.timeCost = durationFromMs(12);
  }
  assert.equal(
    encode(TaskEventSchema, event),
    '{"sequence":7,"time":"2023-11-14T22:13:20.007Z","task_status_changed":{"status":' +
      '{"status":"STATUS_SUCCEEDED","terminated":true,"time_cost":"0.012s"},' +
      '"outputs":{"n":12345678901234567890.10,"s":"a  \\" b"}}}',
  );
});

test("default values are there, but for documents and messages that are not set", () => {
  assert.equal(
    encode(
      ReportSchema,
      create(ReportSchema, { taskId: "t", status: { status: 99 as Status }, lastSequence: 2n ** 60n }),
    ),
    '{"task_id":"t","status":{"status":99,"terminated":false},"nodes":[],"messages":[],"last_sequence":1152921504606846976}',
  );
  assert.equal(
    encode(
      TaskListResponseSchema,
      create(TaskListResponseSchema, { tasks: [{ taskId: "é", labels: { b: "2", a: "1" } }] }),
    ),
    '{"tasks":[{"task_id":"é","labels":{"a":"1","b":"2"}}],"next_page_token":""}',
  );
});

test("what is no JSON becomes a string", () => {
  assert.equal(compact("{oh"), '"{oh"');
});

test("the members of an object keep their texts", () => {
  const text = String.raw` { "a" : {"x":[1.0,"}\""]} , "b":[], "\u0063" :12345678901234567890,"d":"{,}", "a":1.50 } `;
  assert.deepEqual(Object.fromEntries(membersOf(text)), {
    a: "1.50",
    b: "[]",
    c: "12345678901234567890",
    d: '"{,}"',
  });
  assert.equal(membersOf("{ }").size, 0);
});
