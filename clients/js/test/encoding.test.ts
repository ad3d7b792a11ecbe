import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";

import { compact, membersOf } from "../gateway/documents.js";
import { encode, eventShape, listShape, reportShape, taskShape } from "../gateway/encoding.js";
import { ReportSchema, TaskListResponseSchema, TaskSchema, type Status } from "../src/contract.js";
import { succeeded } from "./support/scripted_server.js";

test("documents are embedded as they are, sequences are numbers, times are milliseconds", () => {
  const event = succeeded(7, '{ "n": 12345678901234567890.10,\n "s": "a  \\" b" }');
  if (event.event.case === "taskStatusChanged" && event.event.value.status) {
    event.event.value.status.timeCost = durationFromMs(12);
    event.event.value.status.endTime = timestampFromMs(34);
  }
  assert.equal(
    encode(eventShape(event) ?? ""),
    '{"type":"task_status_changed","sequence":7,"timestamp":1700000000007,"workflowStatus":' +
      '{"status":"succeeded","terminated":true,"startTime":0,"timeCost":12,"endTime":34},' +
      '"outputs":{"n":12345678901234567890.10,"s":"a  \\" b"}}',
  );
});

test("FlowGram's fields are there, also where nothing is known yet", () => {
  const none = '"status":"pending","terminated":false,"startTime":0,"timeCost":0';
  const nodes = [{ nodeId: "z", snapshots: [{ id: "s", nodeId: "z", branch: "if" }] }, { nodeId: "a" }];
  const report = create(ReportSchema, { taskId: "t", status: { status: 99 as Status }, nodes });
  assert.equal(
    encode(reportShape(report)),
    `{"id":"t","inputs":{},"outputs":{},"workflowStatus":{${none}},"reports":{"z":{"id":"z",${none},"snapshots":` +
      `[{"id":"s","nodeID":"z","inputs":{},"data":{},"branch":"if"}]},"a":{"id":"a",${none},"snapshots":[]}},` +
      '"messages":{"log":[],"info":[],"debug":[],"error":[],"warning":[]}}',
  );
  const summary = { taskId: "é", labels: { a: "1" }, lastSequence: 2n ** 60n, displayName: "d" };
  const shaped = `"taskID":"é","workflowStatus":{${none}},"createTime":0,"labels":{"a":"1"},"lastSequence":1152921504606846976,"displayName":"d"`;
  assert.equal(
    encode(listShape(create(TaskListResponseSchema, { tasks: [summary], nextPageToken: "p" }))),
    `{"tasks":[{${shaped}}],"nextPageToken":"p"}`,
  );
  const task = create(TaskSchema, { summary, schema: '{"nodes":[]}', timeout: durationFromMs(1500) });
  assert.equal(encode(taskShape(task)), `{${shaped},"schema":"{\\"nodes\\":[]}","inputs":{},"timeout":1500}`);
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
