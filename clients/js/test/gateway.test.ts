import assert from "node:assert/strict";
import { once } from "node:events";
import * as http from "node:http";
import { test, type TestContext } from "node:test";

import { create } from "@bufbuild/protobuf";
import { Code, type Interceptor } from "@connectrpc/connect";

import { createGateway, type Gateway, type GatewayOptions } from "../gateway/index.js";
import { TaskResultResponseSchema, type TaskRunRequest } from "../src/contract.js";
import { delta, hang, refusal, said, ScriptedServer, Signal, succeeded, told } from "./support/scripted_server.js";
import { serve } from "./support/serving.js";

const ENDED = { status: { status: 3, terminated: true }, outputs: '{"n":12345678901234567890.0}' };
const RUNNING = create(TaskResultResponseSchema, { status: { status: 2 } });
const running = { taskResult: () => RUNNING };

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
    '{"schema": {"x" : 1.0, "big": 12345678901234567890}, "inputs": "{\\"a\\": 1e2}", "timeout": "1.5s", "labels": {"k":"v"}}';
  const response = await fetch(`${url}/tasks`, post(body));
  assert.equal(response.status, 201);
  assert.equal(response.headers.get("location"), "/tasks/a%2Fb");
  assert.deepEqual(await response.json(), { task_id: "a/b" });
  const [request] = requests;
  assert.equal(request?.schema, '{"x" : 1.0, "big": 12345678901234567890}');
  assert.equal(request?.inputs, '{"a": 1e2}');
  assert.deepEqual([request?.labels, request?.timeout?.nanos], [{ k: "v" }, 500_000_000]);
  assert.ok(request?.requestId);
});

test("waits, shows and cancels", async (t) => {
  const cancels: string[] = [];
  const server = await serve(t, {
    taskRun: ({ wait }) => ({ taskId: "t", ...(wait && ENDED) }),
    taskResult: () => ENDED,
    taskCancel: ({ reason }) => {
      cancels.push(reason);
      return { success: true };
    },
    taskList: ({ statuses, labels, pageSize, pageToken }) => {
      assert.deepEqual([statuses, labels, pageSize, pageToken], [[3, 4], { a: "b=c" }, 2, "p"]);
      return {};
    },
    taskValidate: () => ({ errors: ["bad"] }),
    serverInfo: () => ({ name: "x" }),
  });
  const { url } = await open(t, server);
  const ended =
    '"status":{"status":"STATUS_SUCCEEDED","terminated":true},"outputs":{"n":12345678901234567890.0},"errors":[]}';
  assert.equal(
    await (await fetch(`${url}/tasks`, post('{"schema":{},"wait":true}'))).text(),
    `{"task_id":"t",${ended}`,
  );
  assert.equal(await (await fetch(`${url}/tasks/t`)).text(), `{${ended}`);
  assert.equal(await (await fetch(`${url}/tasks/t?wait=true`)).text(), `{${ended}`);
  assert.equal(await (await fetch(`${url}/tasks/t/cancel`, { method: "POST" })).text(), '{"success":true}');
  assert.equal(await (await fetch(`${url}/tasks/t/cancel`, post('{"reason":"r"}'))).text(), '{"success":true}');
  assert.deepEqual(cancels, ["", "r"]);
  const list = await fetch(`${url}/tasks?status=SUCCEEDED&status=FAILED&label=a%3Db%3Dc&page_size=2&page_token=p`);
  assert.equal(await list.text(), '{"tasks":[],"next_page_token":""}');
  assert.equal(
    await (await fetch(`${url}/validate`, post('{"schema":{}}'))).text(),
    '{"valid":false,"errors":["bad"]}',
  );
  assert.equal(((await (await fetch(`${url}/info`)).json()) as { name: string }).name, "x");
  assert.equal(await (await fetch(`${url}/healthz`)).text(), '{"status":"ok"}');
});

test("streams events as they happen, from where the browser was", async (t) => {
  const server = await serve(t, running);
  const go = new Signal();
  server.watches.push([told(said(4, "ä\n"), delta("x")), () => go.promise, told(succeeded(5))]);
  const { url } = await open(t, server);
  const response = await fetch(`${url}/tasks/t/events?after=1&deltas=true&view=basic`, {
    headers: { "Last-Event-ID": "3" },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("output_delta")) {
    text += (await reader?.read())?.value ?? "";
  }
  assert.ok(text.startsWith('retry: 1000\n\nid: 4\ndata: {"sequence":4,'), text);
  assert.ok(text.includes('"text":"ä\\n"'), text);
  assert.ok(text.includes('\n\ndata: {"sequence":0,'), text);
  go.set();
  for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) {
    text += part.value;
  }
  assert.ok(text.endsWith('"outputs":{"a":1}}}\n\n'), text);
  const [request] = server.watchRequests;
  assert.deepEqual([request?.afterSequence, request?.includeDeltas, request?.view], [3n, true, 1]);
});

test("goes on where it was after the server was restarted", async (t) => {
  const server = await serve(t, running);
  server.watches.push(
    [told(said(1)), () => server.cut(), hang],
    [refusal(Code.Unavailable)],
    [told(said(2), succeeded(3))],
  );
  const { url } = await open(t, server);
  const text = await (await fetch(`${url}/tasks/t/events`)).text();
  assert.deepEqual(
    [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => id),
    ["1", "2", "3"],
  );
});

test("opens a stream that has nothing to tell yet, and shows that it is there", async (t) => {
  const server = await serve(t, running);
  server.watches.push([hang]);
  const { url } = await open(t, server, { heartbeatMs: 5 });
  const response = await fetch(`${url}/tasks/t/events`);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes(": heartbeat\n\n")) {
    text += (await reader?.read())?.value ?? "";
  }
  await reader?.cancel();
  await server.left.promise;
});

test("a task that has ended, and has nothing more to tell, is answered 204", async (t) => {
  const server = await serve(t, { taskResult: () => ENDED });
  server.watches.push([]);
  const { url } = await open(t, server);
  assert.equal((await fetch(`${url}/tasks/t/events?after=9`)).status, 204);
});

test("a task whose outputs are too large to be sent can be watched", async (t) => {
  const server = await serve(t, {
    taskResult: () => {
      throw refusal(Code.ResourceExhausted, { reason: "MESSAGE_TOO_LARGE" });
    },
  });
  server.watches.push([told(said(1))], []);
  const { url } = await open(t, server);
  assert.ok((await (await fetch(`${url}/tasks/t/events`)).text()).includes("id: 1\n"));
  assert.equal((await fetch(`${url}/tasks/t/events?after=1`)).status, 204);
});

test("a stream that fails after it began says why in an event of its own", async (t) => {
  const server = await serve(t, running);
  server.watches.push([told(said(1)), refusal(Code.NotFound, { reason: "TASK_NOT_FOUND" })]);
  const { url } = await open(t, server);
  const text = await (await fetch(`${url}/tasks/t/events`)).text();
  assert.ok(text.endsWith('event: failure\ndata: {"code":"TASK_NOT_FOUND","message":"refused"}\n\n'), text);
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
  const events = Array.from({ length: count }, (_, i) => told(said(i + 1, "x".repeat(500_000))));
  const server = await serve(t, running);
  server.watches.push([...events, told(succeeded(count + 1))]);
  const { url } = await open(t, server, { interceptors: [counting] });
  const [response] = (await once(http.get(`${url}/tasks/t/events`), "response")) as [http.IncomingMessage];
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
  const response = fetch(`${url}/tasks/t?wait=true`, { signal: controller.signal });
  await began.promise;
  controller.abort();
  await assert.rejects(response);
  await left.promise;
});

test("stopping ends streams and waits, and lets other requests end", async (t) => {
  const began = new Signal();
  const go = new Signal();
  const server = await serve(t, {
    taskResult: async ({ wait }, context) => {
      if (wait) {
        began.set();
        await hang(context);
      }
      return RUNNING;
    },
    serverInfo: async () => {
      await go.promise;
      return {};
    },
  });
  server.watches.push([told(said(1)), hang]);
  const { gateway, url } = await open(t, server);
  const stream = await fetch(`${url}/tasks/t/events`);
  const waiting = fetch(`${url}/tasks/t?wait=true`);
  const info = fetch(`${url}/info`);
  await began.promise;
  while (server.headers.length < 4) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const stopped = gateway.stop();
  assert.match(await stream.text(), /id: 1\n.*\n\n$/);
  const refused = await waiting;
  assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [503, "SHUTTING_DOWN"]);
  go.set();
  assert.equal((await info).status, 200);
  assert.equal(await stopped, true);
});

test("what is wrong with a request is told", async (t) => {
  const server = await serve(t, running);
  const { url } = await open(t, server, { maxBodyBytes: 1000 });
  const json = { "Content-Type": "application/json" };
  const cases: [string, RequestInit, number, string, (string | RegExp)?][] = [
    ["/nothing", {}, 404, "NOT_FOUND"],
    ["/tasks/%ff", {}, 404, "NOT_FOUND"],
    ["/tasks", { method: "DELETE" }, 405, "METHOD_NOT_ALLOWED"],
    ["/tasks", { method: "POST", body: "{}" }, 415, "CONTENT_TYPE_UNSUPPORTED"],
    ["/tasks", post("{"), 400, "ARGUMENT_INVALID", /^the body cannot be read: /],
    ["/tasks", post("[1]"), 400, "ARGUMENT_INVALID", "the body must be a JSON object, not array"],
    ["/tasks", post('{"shema":{}}'), 400, "ARGUMENT_INVALID", 'the body cannot be read: unknown field "shema"'],
    ["/tasks", post('{"schema":5}'), 400, "ARGUMENT_INVALID", /^schema and inputs must be/],
    ["/tasks", post('{"schema":{},"timeout":3}'), 400, "ARGUMENT_INVALID", /^timeout must be a duration/],
    ["/tasks", post('{"schema":{},"labels":{"a":1}}'), 400, "ARGUMENT_INVALID", "labels must not be number"],
    ["/tasks", post('{"schema":{},"wait":"yes"}'), 400, "ARGUMENT_INVALID", "wait must not be string"],
    ["/tasks", post(`{"schema":"${"x".repeat(2000)}"}`), 413, "BODY_TOO_LARGE"],
    ["/tasks", { method: "POST", headers: json, body: new Uint8Array([0x22, 0xff, 0x22]) }, 400, "ARGUMENT_INVALID"],
    ["/tasks?status=DONE&x=1", {}, 400, "ARGUMENT_INVALID", /^status must be/],
    ["/tasks?label=a", {}, 400, "ARGUMENT_INVALID", "label must be key=value"],
    ["/tasks?page_size=many", {}, 400, "ARGUMENT_INVALID", "page_size must be a number"],
    ["/tasks/t?wait=1", {}, 400, "ARGUMENT_INVALID", "wait must be true or false"],
    ["/tasks/t/report?view=all", {}, 400, "ARGUMENT_INVALID", "view must be full or basic"],
    ["/tasks/t/events?after=-1", {}, 400, "ARGUMENT_INVALID", "after must be the sequence of an event"],
    ["/tasks/t/events?after=9223372036854775808", {}, 400, "ARGUMENT_INVALID"],
    [
      "/tasks/t/events",
      { headers: { "Last-Event-ID": "abc" } },
      400,
      "ARGUMENT_INVALID",
      "Last-Event-ID must be the sequence of an event",
    ],
  ];
  for (const [path, init, status, code, problem] of cases) {
    const response = await fetch(url + path, init);
    const told = (await response.json()) as { code: string; message: string; errors?: string[] };
    assert.deepEqual([response.status, told.code], [status, code], `${path} ${String(init.body)}`);
    assert.ok(told.message);
    if (problem !== undefined) {
      const [error = ""] = told.errors ?? [];
      assert.ok(problem instanceof RegExp ? problem.test(error) : problem === error, error);
    }
  }
});

test("what the server refuses is told with the fitting status", async (t) => {
  const violations = [{ field: "schema.edges[0]", description: "is wrong" }];
  const cases = [
    [refusal(Code.InvalidArgument, { reason: "SCHEMA_INVALID", violations }), 400, "SCHEMA_INVALID", "is wrong"],
    [
      refusal(Code.InvalidArgument, { reason: "ARGUMENT_INVALID", violations }),
      400,
      "ARGUMENT_INVALID",
      "schema.edges[0] is wrong",
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
    const response = await fetch(`${url}/tasks/t/report`);
    const { code, errors } = (await response.json()) as { code: string; errors?: string[] };
    assert.deepEqual([response.status, code, errors?.[0]], [next[1], next[2], next[3]]);
    const patience = { TOO_MANY_TASKS: "3", SHUTTING_DOWN: "1" }[code as string] ?? null;
    assert.equal(response.headers.get("retry-after"), patience);
  }
});

test("a stream beyond the end, of no task, or without a server is refused before it begins", async (t) => {
  let known = true;
  const server = await serve(t, {
    taskResult: () => {
      if (!known) {
        throw refusal(Code.NotFound, { reason: "TASK_NOT_FOUND" });
      }
      return RUNNING;
    },
  });
  server.watches.push([refusal(Code.OutOfRange, { reason: "SEQUENCE_OUT_OF_RANGE" })]);
  const { url } = await open(t, server, { openDelayMs: 10_000 });
  assert.equal((await fetch(`${url}/tasks/t/events?after=9`)).status, 416);
  known = false;
  assert.equal((await fetch(`${url}/tasks/t/events`)).status, 404);
  await server.stop();
  const away = await fetch(`${url}/tasks/t/events`);
  assert.deepEqual(
    [away.status, await away.json()],
    [503, { code: "UNAVAILABLE", message: "the runtime cannot be reached at the moment" }],
  );
});

test("pages of the origins that are let in may use it, and their headers go on to the server", async (t) => {
  const server = await serve(t, { serverInfo: () => ({}) });
  const { url } = await open(t, server, { origins: ["https://a.example"], forward: ["Authorization"] });
  const preflight = {
    method: "OPTIONS",
    headers: { Origin: "https://a.example", "Access-Control-Request-Method": "POST" },
  };
  const allowed = await fetch(`${url}/tasks`, preflight);
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get("access-control-allow-origin"), "https://a.example");
  assert.equal(allowed.headers.get("access-control-allow-headers"), "Content-Type, Last-Event-ID, Authorization");
  const other = await fetch(`${url}/tasks`, {
    ...preflight,
    headers: { ...preflight.headers, Origin: "https://b.example" },
  });
  assert.deepEqual([other.status, other.headers.get("access-control-allow-origin")], [405, null]);
  await fetch(`${url}/info`, { headers: { Authorization: "Bearer x", Cookie: "no" } });
  const sent = server.headers.at(-1);
  assert.deepEqual([sent?.get("authorization"), sent?.get("cookie")], ["Bearer x", null]);
});
