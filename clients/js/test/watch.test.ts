import assert from "node:assert/strict";
import { test } from "node:test";

import { Code } from "@connectrpc/connect";

import {
  ResourceExhaustedError,
  SequenceOutOfRangeError,
  ServerError,
  TaskNotFoundError,
  UnauthenticatedError,
  UnavailableError,
  type RequestError,
} from "../src/index.js";
import { mayResume } from "../src/watch.js";
import { delta, hang, refusal, said, succeeded, watched } from "./support/scripted_server.js";
import { all, connect, serve } from "./support/serving.js";

const sequences = (events: { sequence: number }[]) => events.map(({ sequence }) => sequence);

test("gives every event once and in order, through a cut connection", async (t) => {
  const server = await serve(t);
  server.watches.push(
    [watched(said(1), said(2)), () => server.cut(), hang],
    [watched(said(2), said(3)), watched(), refusal(Code.Unavailable, { reason: "SHUTTING_DOWN" })],
    [watched(said(4)), watched(succeeded(5))],
  );
  const { client } = connect(t, server);
  assert.deepEqual(sequences(await all(client.watch("t"))), [1, 2, 3, 4, 5]);
  assert.deepEqual(
    server.watchRequests.map(({ afterSequence }) => afterSequence),
    [0n, 2n, 3n],
  );
});

test("goes on where the caller says, and asks for what the caller wants", async (t) => {
  const server = await serve(t);
  server.watches.push([watched(delta("a"), succeeded(8))]);
  const { client } = connect(t, server);
  const events = await all(client.watch("t", { afterSequence: 7, deltas: true, view: "basic", heartbeatMs: 1500 }));
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ["outputDelta", "taskStatusChanged"],
  );
  const [request] = server.watchRequests;
  assert.deepEqual(
    [
      request?.afterSequence,
      request?.includeDeltas,
      request?.view,
      request?.heartbeat?.seconds,
      request?.heartbeat?.nanos,
    ],
    [7n, true, 1, 1n, 500_000_000],
  );
});

test("finds a server that was away", async (t) => {
  const server = await serve(t);
  server.watches.push([watched(said(1)), hang], [watched(succeeded(2))]);
  const { client, waits } = connect(t, server, {
    timing: {
      random: () => 0,
      sleep: async (ms) => {
        waits.push(ms);
        if (waits.length === 3) {
          await server.start();
        }
      },
    },
  });
  const seen: number[] = [];
  for await (const { sequence } of client.watch("t")) {
    seen.push(sequence);
    if (sequence === 1) {
      await server.stop();
    }
  }
  assert.deepEqual(seen, [1, 2]);
  assert.deepEqual(waits, [50, 100, 200]);
});

test("opens the stream anew where events are missing", async (t) => {
  const server = await serve(t);
  server.watches.push([watched(said(1), said(3)), hang], [watched(said(2), said(3), succeeded(4))]);
  const { client } = connect(t, server);
  assert.deepEqual(sequences(await all(client.watch("t"))), [1, 2, 3, 4]);
});

test("counts failures anew after progress, and gives up after so many in a row", async (t) => {
  const server = await serve(t);
  const away = refusal(Code.Unavailable);
  server.watches.push([away], [away], [watched(said(1)), away], [away], [watched(), away], [away], [away]);
  const { client, waits } = connect(t, server, { reconnect: { attempts: 3 } });
  await assert.rejects(all(client.watch("t")), UnavailableError);
  assert.deepEqual(waits, [50, 100, 50, 100, 50, 100]);
});

test("stops where trying again cannot help", async (t) => {
  const server = await serve(t);
  server.watches.push(
    [refusal(Code.NotFound, { reason: "TASK_NOT_FOUND" })],
    [refusal(Code.OutOfRange, { reason: "SEQUENCE_OUT_OF_RANGE" })],
  );
  const { client, waits } = connect(t, server);
  await assert.rejects(all(client.watch("t")), TaskNotFoundError);
  await assert.rejects(all(client.watch("t")), SequenceOutOfRangeError);
  assert.deepEqual(waits, []);
});

test("goes on with a token that was renewed, and ends with one that was not", async (t) => {
  const server = await serve(t);
  const expired = refusal(Code.Unauthenticated, { reason: "CREDENTIALS_INVALID" });
  server.watches.push([watched(said(1)), expired], [watched(said(2)), expired], [watched(succeeded(3))]);
  const { client, waits } = connect(t, server, { token: () => "t" });
  assert.deepEqual(sequences(await all(client.watch("t"))), [1, 2, 3]);
  assert.deepEqual(waits, [50, 50]);
  server.watches.push([watched(said(1)), expired], [expired], [watched(succeeded(2))]);
  await assert.rejects(all(client.watch("t")), { reason: "CREDENTIALS_INVALID" });
  server.watches.length = 0;
  server.watches.push([expired]);
  await assert.rejects(all(client.watch("t")), { reason: "CREDENTIALS_INVALID" });
});

test("waits for a place among too many watchers once it was under way, as long as the server asks", async (t) => {
  const server = await serve(t);
  const full = refusal(Code.ResourceExhausted, { reason: "TOO_MANY_WATCHES", retryMs: 900 });
  server.watches.push([watched(said(1)), refusal(Code.Unavailable)], [full], [watched(succeeded(2))]);
  const { client, waits } = connect(t, server);
  assert.equal((await all(client.watch("t"))).length, 2);
  assert.deepEqual(waits, [50, 900]);
});

test("takes a silent connection for dead", async (t) => {
  const server = await serve(t);
  server.watches.push([watched(said(1)), hang], [watched(succeeded(2))]);
  const { client } = connect(t, server);
  assert.deepEqual(sequences(await all(client.watch("t", { heartbeatMs: 10 }))), [1, 2]);
  await server.left.promise;
});

test("expects heartbeats no more often than a server sends them", async (t) => {
  const server = await serve(t);
  server.watches.push([watched(said(1)), hang]);
  const { client } = connect(t, server, { reconnect: { attempts: 1 } });
  await assert.rejects(all(client.watch("t", { heartbeatMs: 1 })), /silent for 300 ms/);
});

test("an aborted signal ends the watch with its reason, and the server is notified", async (t) => {
  const server = await serve(t);
  const controller = new AbortController();
  server.watches.push([watched(said(1)), hang]);
  const { client } = connect(t, server);
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const { sequence } of client.watch("t", { signal: controller.signal })) {
      seen.push(sequence);
      controller.abort(new Error("enough"));
    }
  }, /^Error: enough$/);
  assert.deepEqual(seen, [1]);
  await server.left.promise;
});

test("leaving the loop ends the stream", async (t) => {
  const server = await serve(t);
  server.watches.push([watched(said(1)), hang]);
  const { client } = connect(t, server);
  for await (const event of client.watch("t", { timeoutMs: 60_000 })) {
    assert.equal(event.sequence, 1);
    break;
  }
  await server.left.promise;
});

test("ends well once the last event was seen, however the stream ends", async (t) => {
  const server = await serve(t);
  server.watches.push([watched(succeeded(1)), refusal(Code.Internal)]);
  const { client } = connect(t, server);
  assert.equal((await all(client.watch("t"))).length, 1);
});

test("what a stream ended with tells whether it is opened again", () => {
  const full = new ResourceExhaustedError({ code: "RESOURCE_EXHAUSTED", text: "", retryAfterMs: 9 });
  const behind = new ResourceExhaustedError({ code: "RESOURCE_EXHAUSTED", text: "", reason: "WATCH_BEHIND" });
  const expired = new UnauthenticatedError({ code: "UNAUTHENTICATED", text: "", reason: "CREDENTIALS_INVALID" });
  const brokenOff = new ServerError({ code: "INTERNAL", text: "" });
  const unknown = new ServerError({ code: "UNKNOWN", text: "" });
  const defect = new ServerError({ code: "INTERNAL", text: "", reason: "INTERNAL" });
  const away = new UnavailableError({ code: "UNAVAILABLE", text: "" });
  // before anything came; after that, as the first failure in a row, and as a later one
  const resumed = (error: RequestError) => [
    mayResume(error, false, 0),
    mayResume(error, true, 0),
    mayResume(error, true, 3),
  ];
  for (const error of [away, behind]) {
    assert.deepEqual(resumed(error), [true, true, true]);
  }
  for (const error of [full, brokenOff, unknown]) {
    assert.deepEqual(resumed(error), [false, true, true]);
  }
  assert.deepEqual(resumed(expired), [false, true, false]);
  assert.deepEqual(resumed(defect), [false, false, false]);
});

test("ends after the last event though the stream does not", { timeout: 20_000 }, async (t) => {
  const server = await serve(t);
  server.watches.push([watched(succeeded(1)), watched(), hang], [watched(succeeded(1)), hang]);
  const { client } = connect(t, server);
  for (const heartbeatMs of [60_000, 60_000]) {
    assert.equal((await all(client.watch("t", { heartbeatMs }))).length, 1);
  }
});

test("a consumer that takes its time loses nothing", async (t) => {
  const server = await serve(t);
  const text = "x".repeat(100_000);
  const events = Array.from({ length: 200 }, (_, i) => watched(said(i + 1, text)));
  server.watches.push([...events, watched(succeeded(201))]);
  const { client } = connect(t, server);
  let last = 0;
  for await (const { sequence } of client.watch("t", { heartbeatMs: 1000 })) {
    assert.equal(sequence, ++last);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(last, 201);
});
