import assert from "node:assert/strict";
import { once } from "node:events";
import * as http from "node:http";
import { test, type TestContext } from "node:test";

import { Code, type Interceptor } from "@connectrpc/connect";

import { createGateway, type Gateway, type GatewayOptions } from "../gateway/index.js";
import type { TaskRunRequest } from "../src/contract.js";
import { delta, hang, refusal, said, ScriptedServer, Signal, succeeded, watched } from "./support/scripted_server.js";
import { serve } from "./support/serving.js";

const RUN = '{"schema":"{}","inputs":{}}';
const info = { serverInfo: () => ({ name: "x" }) };

async function open(
  t: TestContext,
  server: ScriptedServer,
  options: GatewayOptions = {},
): Promise<{ gateway: Gateway; url: string }> {
  const gateway = createGateway({
    target: server.target,
    timing: { sleep: () => new Promise((resolve) => setImmediate(resolve)), random: () => 0 },
    openDelayMs: 20,
    log: () => undefined,
    ...options,
  });
  const url = await gateway.listen(0);
  t.after(() => gateway.stop(0));
  return { gateway, url };
}

const post = (body: string, headers: Record<string, string> = {}) => ({
  method: "POST",
  body,
  headers: { "Content-Type": "application/json; charset=utf-8", ...headers },
});

test("runs a workflow whose documents go through untouched", async (t) => {
  const requests: TaskRunRequest[] = [];
  const server = await serve(t, {
    taskRun: (request) => {
      requests.push(request);
      return { taskId: "a/b" };
    },
  });
  const { url } = await open(t, server);
  const body =
    '\ufeff{"schema": "{\\"x\\" : 1.0}", "inputs": {"big" : 12345678901234567890, "a": 1e2}, "labels": {"k":"v"}, ' +
    '"displayName": "d", "requestID": "r", "unknown": 1}';
  const response = await fetch(`${url}/api/task/run`, post(body));
  assert.deepEqual([response.status, await response.json()], [200, { taskID: "a/b" }]);
  const [request] = requests;
  assert.equal(request?.schema, '{"x" : 1.0}');
  assert.equal(request?.inputs, '{"big" : 12345678901234567890, "a": 1e2}');
  assert.deepEqual([request?.labels, request?.displayName, request?.requestId], [{ k: "v" }, "d", "r"]);
});

test("all that is wrong with a workflow is reported", async (t) => {
  const server = await serve(t, {
    taskRun: () => {
      const violations = [{ field: "schema", description: "a" }];
      throw refusal(Code.InvalidArgument, { reason: "SCHEMA_INVALID", violations });
    },
    taskValidate: () => ({ errors: ["a", "b"] }),
  });
  const { url } = await open(t, server);
  const response = await fetch(`${url}/api/task/run`, post(RUN));
  const { code, errors } = (await response.json()) as { code: string; errors: string[] };
  assert.deepEqual([response.status, code, errors], [400, "SCHEMA_INVALID", ["a", "b"]]);
});

test("shows, cancels, lists and validates", async (t) => {
  const server = await serve(t, {
    taskResult: () => ({ status: { status: 3, terminated: true }, outputs: '{"n":12345678901234567890.0}' }),
    taskCancel: ({ taskId }) => ({ success: taskId === "t" }),
    taskList: ({ statuses, labels, pageSize, pageToken }) => {
      assert.deepEqual([statuses, labels, pageSize, pageToken], [[3, 4], { a: "b=c" }, 2, "p"]);
      return {};
    },
    taskGet: ({ taskId }) => ({ task: { summary: { taskId }, schema: "{}" } }),
    taskReport: ({ taskId }) => ({ report: { taskId } }),
    taskValidate: () => ({ errors: ["bad"], problems: [{ field: "schema", text: "bad" }] }),
    ...info,
  });
  const { url } = await open(t, server);
  const text = async (path: string, init: RequestInit = {}) => (await fetch(url + path, init)).text();
  assert.equal(await text("/api/task/result?taskID=t"), '{"n":12345678901234567890.0}');
  assert.equal(await text("/api/task/cancel", { ...post('{"taskID":"t"}'), method: "PUT" }), '{"success":true}');
  assert.equal(
    await text("/api/tasks?status=succeeded&status=failed&label=a%3Db%3Dc&pageSize=2&pageToken=p"),
    '{"tasks":[]}',
  );
  assert.match(await text("/api/task?taskID=t"), /^{"taskID":"t",.*"schema":"{}"/);
  assert.match(await text("/api/task/report?taskID=t"), /^{"id":"t",/);
  assert.equal(await text("/api/task/validate", post(RUN)), '{"valid":false,"errors":["bad"],"problems":[{"field":"schema","text":"bad"}]}');
  assert.match(await text("/api/info"), /^{"name":"x",/);
  assert.equal(await text("/healthz"), '{"status":"ok"}');
});

test("streams events as they happen, from where the browser was", async (t) => {
  const server = await serve(t, info);
  const go = new Signal();
  server.watches.push([watched(said(4, "ä\n"), delta("x")), () => go.promise, watched(succeeded(5))]);
  const { url } = await open(t, server);
  const response = await fetch(`${url}/api/task/watch?taskID=t&after=1&deltas=true`, {
    headers: { "Last-Event-ID": "3" },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("output_delta")) {
    text += (await reader?.read())?.value ?? "";
  }
  assert.ok(text.startsWith('retry: 1000\n\nid: 4\ndata: {"type":"message","sequence":4,'), text);
  assert.ok(text.includes('"message":"ä\\n"'), text);
  assert.ok(text.includes('\n\ndata: {"type":"output_delta",'), text);
  go.set();
  for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) {
    text += part.value;
  }
  assert.ok(text.endsWith('"outputs":{"a":1}}\n\n'), text);
  const [request] = server.watchRequests;
  assert.deepEqual([request?.afterSequence, request?.includeDeltas], [3n, true]);
});

test("goes on where it was after the server was restarted", async (t) => {
  const server = await serve(t, info);
  server.watches.push(
    [watched(said(1)), () => server.cut(), hang],
    [refusal(Code.Unavailable)],
    [watched(said(2), succeeded(3))],
  );
  const { url } = await open(t, server);
  const text = await (await fetch(`${url}/api/task/watch?taskID=t`)).text();
  assert.deepEqual(
    [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => id),
    ["1", "2", "3"],
  );
});

test("opens a stream that has nothing to tell yet, and shows that it is there", async (t) => {
  const server = await serve(t, info);
  server.watches.push([hang]);
  const { url } = await open(t, server, { heartbeatMs: 5 });
  const response = await fetch(`${url}/api/task/watch?taskID=t`);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes(": heartbeat\n\n")) {
    text += (await reader?.read())?.value ?? "";
  }
  await reader?.cancel();
  await server.left.promise;
});

test("a task that has ended, and has nothing more to tell, is answered 204", async (t) => {
  const server = await serve(t, info);
  server.watches.push([]);
  const { url } = await open(t, server, { openDelayMs: 10_000 });
  assert.equal((await fetch(`${url}/api/task/watch?taskID=t&after=9`)).status, 204);
});

test("the tasks of a filter come as they change", async (t) => {
  let streams = 0;
  const server = await serve(t, {
    ...info,
    async *watchTasks({ statuses, labels }, context) {
      assert.deepEqual([statuses, labels], [[2], { k: "v" }]);
      yield {};
      yield {};
      yield { tasks: [{ taskId: "a", lastSequence: 3n }], removedTaskIds: ["b"] };
      if (++streams === 2) {
        await hang(context);
      }
    },
  });
  const { url } = await open(t, server);
  const response = await fetch(`${url}/api/tasks/watch?status=processing&label=k%3Dv`);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (text.split("tasks_changed").length < 3) {
    text += (await reader?.read())?.value ?? "";
  }
  await reader?.cancel();
  assert.equal(text.split('data: {"type":"live"}\n\n').length, 3, text);
  assert.match(text, /"tasks":\[\{"taskID":"a",.*"lastSequence":3\}\],"removedTaskIDs":\["b"\]\}\n\n/);
});

test("a stream that fails after it began says why in an event of its own", async (t) => {
  const server = await serve(t, info);
  server.watches.push([watched(said(1)), refusal(Code.NotFound, { reason: "TASK_NOT_FOUND" })]);
  const { url } = await open(t, server);
  const text = await (await fetch(`${url}/api/task/watch?taskID=t`)).text();
  assert.ok(text.endsWith('event: failure\ndata: {"code":"TASK_NOT_FOUND","message":"refused","errors":[]}\n\n'), text);
});

test("a client that does not read stops its own stream, and loses nothing", async (t) => {
  const count = 200;
  let read = 0;
  async function* counted<T>(responses: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const response of responses) {
      read++;
      yield response;
    }
  }
  const counting: Interceptor = (next) => async (request) => {
    const response = await next(request);
    return response.stream ? { ...response, message: counted(response.message) } : response;
  };
  const events = Array.from({ length: count }, (_, i) => watched(said(i + 1, "x".repeat(500_000))));
  const server = await serve(t, info);
  server.watches.push([...events, watched(succeeded(count + 1))]);
  const { url } = await open(t, server, { interceptors: [counting] });
  const [response] = (await once(http.get(`${url}/api/task/watch?taskID=t`), "response")) as [http.IncomingMessage];
  for (let before = -1, calm = 0; calm < 10; calm = read > 0 && read === before ? calm + 1 : 0, before = read) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.ok(read < count, `${read} of ${count} were read for a client that does not read`);
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    text += (chunk as string).replaceAll("x", "");
  }
  assert.deepEqual(
    [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id)),
    Array.from({ length: count + 1 }, (_, i) => i + 1),
  );
});

test("a client that leaves ends its call to the server", async (t) => {
  const began = new Signal();
  const left = new Signal();
  const server = await serve(t, {
    taskResult: async (_request, context) => {
      began.set();
      await hang(context);
      left.set();
      return {};
    },
  });
  const { url } = await open(t, server);
  const controller = new AbortController();
  const response = fetch(`${url}/api/task/result?taskID=t`, { signal: controller.signal });
  await began.promise;
  controller.abort();
  await assert.rejects(response);
  await left.promise;
});

test("stopping ends streams, and lets other requests end", async (t) => {
  const began = new Signal();
  const go = new Signal();
  const server = await serve(t, {
    ...info,
    taskResult: async () => {
      began.set();
      await go.promise;
      return {};
    },
  });
  server.watches.push([watched(said(1)), hang]);
  const { gateway, url } = await open(t, server);
  const stream = await fetch(`${url}/api/task/watch?taskID=t`);
  const result = fetch(`${url}/api/task/result?taskID=t`);
  await began.promise;
  const stopped = gateway.stop();
  assert.match(await stream.text(), /id: 1\n.*\n\n$/);
  go.set();
  assert.equal((await result).status, 200);
  assert.equal(await stopped, true);
});

test("bodies must come in time, and fit into the memory for all of them", async (t) => {
  const server = await serve(t, { taskRun: () => ({ taskId: "t" }) });
  const { url } = await open(t, server, { readTimeoutMs: 300, maxBodiesBytes: 100 });
  const slow = http.request(`${url}/api/task/run`, { method: "POST", headers: { "Content-Type": "application/json" } });
  slow.write(" ".repeat(90));
  const answered = once(slow, "response") as Promise<[http.IncomingMessage]>;
  let refused = await fetch(`${url}/api/task/run`, post(RUN));
  while (refused.status === 200) {
    refused = await fetch(`${url}/api/task/run`, post(RUN)); // the slow one has not been read yet
  }
  assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [503, "OVERLOADED"]);
  const [response] = await answered;
  assert.equal(response.statusCode, 408);
  response.resume();
  slow.destroy();
  assert.equal((await fetch(`${url}/api/task/run`, post(RUN))).status, 200); // what it held is given back
});

test("what is wrong with a request is reported", async (t) => {
  const server = await serve(t, info);
  const { url } = await open(t, server, { maxBodyBytes: 1000 });
  const json = { "Content-Type": "application/json" };
  const run = "/api/task/run";
  const cases: [string, RequestInit, number, string, (string | RegExp)?][] = [
    ["/nothing", {}, 404, "NOT_FOUND"],
    ["/api/tasks", { method: "DELETE" }, 405, "METHOD_NOT_ALLOWED"],
    [run, { method: "POST", body: "{}" }, 415, "CONTENT_TYPE_UNSUPPORTED"],
    [run, post("{"), 400, "ARGUMENT_INVALID", /^the body is no JSON: /],
    [run, post("[1]"), 400, "ARGUMENT_INVALID", "the body must be a JSON object"],
    [run, post("{}"), 400, "ARGUMENT_INVALID", "inputs: is required"],
    [run, post('{"schema":5,"inputs":{}}'), 400, "ARGUMENT_INVALID", "schema: must not be number"],
    [run, post('{"schema":"","inputs":{}}'), 400, "ARGUMENT_INVALID", "schema: must not be empty"],
    [run, post('{"schema":"{}","inputs":[]}'), 400, "ARGUMENT_INVALID", "inputs: must be an object"],
    [run, post('{"schema":"{}","inputs":{},"labels":{"a":1}}'), 400, "ARGUMENT_INVALID", "labels.a: must not be number"],
    [run, post('{"schema":"{}","inputs":{},"labels":null}'), 400, "ARGUMENT_INVALID", "labels: must not be null"],
    [run, post('{"schema":"{}","inputs":{},"displayName":null}'), 400, "ARGUMENT_INVALID", "displayName: must not be null"],
    [run, post('{"schema":"{}","inputs":null}'), 400, "ARGUMENT_INVALID", "inputs: must be an object"],
    [run, post("null"), 400, "ARGUMENT_INVALID", "the body must be a JSON object"],
    [run, post(`{"schema":"{}","inputs":{},"requestID":"${"x".repeat(257)}"}`), 400, "ARGUMENT_INVALID", /^requestID: /],
    [run, post(`{"schema":"${"x".repeat(2000)}"}`), 413, "BODY_TOO_LARGE"],
    [run, { method: "POST", headers: json, body: new Uint8Array([0x22, 0xff, 0x22]) }, 400, "ARGUMENT_INVALID"],
    ["/api/task/cancel", { ...post("{}"), method: "PUT" }, 400, "ARGUMENT_INVALID", "taskID: is required"],
    ["/api/tasks?status=DONE", {}, 400, "ARGUMENT_INVALID", /^status: must be/],
    ["/api/tasks?label=a", {}, 400, "ARGUMENT_INVALID", "label: must be KEY=VALUE"],
    ["/api/tasks?pageSize=0", {}, 400, "ARGUMENT_INVALID", "pageSize: must be a number from 1 to 1000"],
    ["/api/task/report", {}, 400, "ARGUMENT_INVALID", "taskID: is required"],
    ["/api/task/watch?taskID=t&deltas=x", {}, 400, "ARGUMENT_INVALID", "deltas: must be true or false"],
    ["/api/task/watch?taskID=t&after=-1", {}, 400, "ARGUMENT_INVALID", "after: must be the sequence of an event"],
    ["/api/task/watch?taskID=t&after=9223372036854775808", {}, 400, "ARGUMENT_INVALID"],
    [
      "/api/task/watch?taskID=t",
      { headers: { "Last-Event-ID": "abc" } },
      400,
      "ARGUMENT_INVALID",
      "Last-Event-ID: must be the sequence of an event",
    ],
  ];
  for (const [path, init, status, code, problem] of cases) {
    const response = await fetch(url + path, init);
    const received = (await response.json()) as { code: string; message: string; errors?: string[] };
    assert.deepEqual([response.status, received.code], [status, code], `${path} ${String(init.body)}`);
    assert.ok(received.message);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    if (problem !== undefined) {
      const [error = ""] = received.errors ?? [];
      assert.ok(problem instanceof RegExp ? problem.test(error) : problem === error, error);
    }
  }
});

test("what the server refuses is reported with the fitting status", async (t) => {
  const violations = [{ field: "request_id", description: "is wrong" }];
  const cases = [
    [refusal(Code.InvalidArgument, { reason: "SCHEMA_INVALID", violations }), 400, "SCHEMA_INVALID", "is wrong"],
    [
      refusal(Code.InvalidArgument, { reason: "ARGUMENT_INVALID", violations }),
      400,
      "ARGUMENT_INVALID",
      "requestID is wrong",
    ],
    [refusal(Code.NotFound, { reason: "TASK_NOT_FOUND" }), 404, "TASK_NOT_FOUND"],
    [refusal(Code.AlreadyExists, { reason: "REQUEST_ID_REUSED" }), 409, "REQUEST_ID_REUSED"],
    [refusal(Code.ResourceExhausted, { reason: "TOO_MANY_TASKS", retryMs: 2500 }), 429, "TOO_MANY_TASKS"],
    [refusal(Code.ResourceExhausted, { reason: "MESSAGE_TOO_LARGE" }), 500, "MESSAGE_TOO_LARGE"],
    [
      refusal(Code.ResourceExhausted, { reason: "MESSAGE_TOO_LARGE", metadata: { message: "request" } }),
      413,
      "MESSAGE_TOO_LARGE",
    ],
    [refusal(Code.ResourceExhausted), 413, "RESOURCE_EXHAUSTED"],
    [refusal(Code.OutOfRange, { reason: "SEQUENCE_OUT_OF_RANGE" }), 416, "SEQUENCE_OUT_OF_RANGE"],
    [refusal(Code.Unavailable, { reason: "SHUTTING_DOWN" }), 503, "SHUTTING_DOWN"],
    [refusal(Code.Unimplemented), 502, "UNIMPLEMENTED"],
  ] as const;
  let next: (typeof cases)[number] = cases[0];
  const server = await serve(t, {
    taskReport: () => {
      throw next[0];
    },
  });
  const { url } = await open(t, server);
  for (next of cases) {
    const response = await fetch(`${url}/api/task/report?taskID=t`);
    const { code, errors } = (await response.json()) as { code: string; errors?: string[] };
    assert.deepEqual([response.status, code, errors?.[0]], [next[1], next[2], next[3]]);
    const retryAfter = { TOO_MANY_TASKS: "3", SHUTTING_DOWN: "1" }[code as string] ?? null;
    assert.equal(response.headers.get("retry-after"), retryAfter);
  }
});

test("a stream beyond the end, of no task, or without a server is refused before it begins", async (t) => {
  const server = await serve(t, info);
  server.watches.push(
    [refusal(Code.OutOfRange, { reason: "SEQUENCE_OUT_OF_RANGE" })],
    [refusal(Code.NotFound, { reason: "TASK_NOT_FOUND" })],
  );
  const { url } = await open(t, server, { openDelayMs: 10_000 });
  assert.equal((await fetch(`${url}/api/task/watch?taskID=t&after=9`)).status, 416);
  assert.equal((await fetch(`${url}/api/task/watch?taskID=t`)).status, 404);
  await server.stop();
  const away = await fetch(`${url}/api/task/watch?taskID=t`);
  assert.deepEqual(
    [away.status, await away.json()],
    [503, { code: "UNAVAILABLE", message: "the runtime cannot be reached at the moment", errors: [] }],
  );
});

test("pages of the origins that are let in may use it, and their headers go on to the server", async (t) => {
  const server = await serve(t, info);
  const origins = ["https://a.example", "loopback"];
  const { url } = await open(t, server, { origins, forward: ["Authorization"] });
  const preflight = (origin: string) =>
    fetch(`${url}/api/task/cancel`, {
      method: "OPTIONS",
      headers: { Origin: origin, "Access-Control-Request-Method": "PUT" },
    });
  for (const origin of ["https://a.example", "http://localhost:3000", "http://127.0.0.9", "https://[::1]:1"]) {
    const allowed = await preflight(origin);
    assert.equal(allowed.status, 204, origin);
    assert.equal(allowed.headers.get("access-control-allow-origin"), origin);
    assert.match(allowed.headers.get("access-control-allow-headers") ?? "", /Last-Event-ID.*Authorization$/);
  }
  for (const origin of ["https://b.example", "http://localhost.evil.example", "null"]) {
    const other = await preflight(origin);
    assert.deepEqual([other.status, other.headers.get("access-control-allow-origin")], [403, null], origin);
    const changing = await fetch(`${url}/api/task/run`, post(RUN, { Origin: origin }));
    assert.equal(((await changing.json()) as { code: string }).code, "ORIGIN_NOT_ALLOWED");
  }
  await fetch(`${url}/api/info`, { headers: { Authorization: "Bearer x", Cookie: "no" } });
  const sent = server.headers.at(-1);
  assert.deepEqual([sent?.get("authorization"), sent?.get("cookie")], ["Bearer x", null]);
});

test("a page whose own name was made to lead here is refused for the name", async (t) => {
  const server = await serve(t, info);
  const { url } = await open(t, server, { allowedHosts: ["flows.example"] });
  const status = async (host: string) => {
    const [response] = (await once(http.get(`${url}/healthz`, { headers: { Host: host } }), "response")) as [
      http.IncomingMessage,
    ];
    response.resume();
    return response.statusCode;
  };
  for (const host of ["localhost", "LOCALHOST:1", "a.localhost", "127.0.0.1:1", "[::1]:1", "flows.example:1"]) {
    assert.equal(await status(host), 200, host);
  }
  for (const host of ["evil.example", "localhost.evil.example", "10.0.0.1", "[::2]"]) {
    assert.equal(await status(host), 403, host);
  }
});

test("a batch has a line for each run, and for each line that is wrong", async (t) => {
  const server = await serve(t, {
    async *taskRunBatch(requests) {
      for await (const { defaults, maxInFlight, runs } of requests) {
        if (defaults !== undefined) {
          assert.deepEqual([defaults.schema, defaults.timeout?.seconds, maxInFlight], ["{}", 2n, 3]);
        }
        for (const { key, request } of runs) {
          const value = { taskId: request?.requestId ?? "", status: { status: 3 }, outputs: request?.inputs ?? "" };
          yield { outcomes: [{ key, result: { case: "outcome" as const, value } }] };
        }
      }
    },
  });
  const { url } = await open(t, server, { maxBodyBytes: 200 });
  const send = (...lines: string[]) =>
    fetch(`${url}/api/tasks/batch`, post(lines.join("\n"), { "Content-Type": "application/x-ndjson" }));
  const first = '{"schema":"{}","timeout":2000,"maxInFlight":3}';
  const response = await send(
    first,
    "",
    '{"inputs":{"n":1.0},"requestID":"a"}',
    '{"inputs":1}\r',
    '{"key":"k","inputs":{},"requestID":"b"}',
  );
  const status = '"workflowStatus":{"status":"succeeded","terminated":false,"startTime":0,"timeCost":0}';
  assert.deepEqual([response.status, response.headers.get("content-type")], [200, "application/x-ndjson"]);
  assert.deepEqual((await response.text()).trim().split("\n").sort(), [
    `{"key":"2","taskID":"a",${status},"outputs":{"n":1.0}}`,
    `{"key":"k","taskID":"b",${status},"outputs":{}}`,
    '{"line":3,"error":{"code":"ARGUMENT_INVALID","message":"inputs: must be an object","errors":["inputs: must be an object"]}}',
  ]);
  for (const [lines, code] of [
    [["{}"], "ARGUMENT_INVALID"],
    [[" "], "ARGUMENT_INVALID"],
    [[first, "x".repeat(201)], "BODY_TOO_LARGE"],
  ] as const) {
    assert.equal(((await (await send(...lines)).json()) as { code: string }).code, code);
  }
});
