import assert from "node:assert/strict";
import { test } from "node:test";

import { Code } from "@connectrpc/connect";

import {
  AlreadyExistsError,
  CallCanceledError,
  createClient,
  DeadlineExceededError,
  InvalidWorkflowError,
  outputsOf,
  PermissionDeniedError,
  RequestError,
  TaskFailedError,
  TaskUnfinishedError,
  UnauthenticatedError,
  UnavailableError,
} from "../src/index.js";
import type { Status } from "../src/contract.js";
import { MAX_RECEIVE_BYTES } from "../src/transport.js";
import { hang, refusal, Signal } from "./support/scripted_server.js";
import { all, connect, serve } from "./support/serving.js";

const SUCCEEDED = { status: 3, terminated: true };
const PROCESSING = { status: 2, terminated: false };

test("run sends one request id through all attempts", async (t) => {
  const ids: string[] = [];
  const server = await serve(t, {
    taskRun: (request) => {
      ids.push(request.requestId);
      if (ids.length < 3) {
        throw refusal(Code.Unavailable, { reason: "STORAGE_UNAVAILABLE" });
      }
      return { taskId: request.schema + request.inputs };
    },
  });
  const { client, waits } = connect(t, server);
  assert.equal(await client.run({ nodes: [] }, { n: 2n ** 60n }), '{"nodes":[]}{"n":1152921504606846976}');
  assert.match(ids[0] ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(new Set(ids).size, 1);
  assert.deepEqual(waits, [50, 100]);
});

test("a token is sent with every call, and one that changes is asked for each time", async (t) => {
  const received: (string | null)[] = [];
  const server = await serve(t, {
    serverInfo: (_request, context) => {
      received.push(context.requestHeader.get("authorization"));
      if (received.length === 3) {
        throw refusal(Code.Unavailable, { reason: "STORAGE_UNAVAILABLE" });
      }
      return { name: "x" };
    },
  });
  await connect(t, server, { token: " key " }).client.info();
  let count = 0;
  const { client } = connect(t, server, { token: () => `token ${++count}` });
  await client.info();
  await client.info();
  assert.deepEqual(received, ["Bearer key", "Bearer token 1", "Bearer token 2", "Bearer token 3"]);
});

test("credentials that the server does not take have errors of their own", async (t) => {
  const codes = [Code.Unauthenticated, Code.PermissionDenied];
  const server = await serve(t, {
    serverInfo: () => {
      throw refusal(codes.shift() ?? Code.Internal, { reason: "PERMISSION_DENIED" });
    },
  });
  const { client, waits } = connect(t, server);
  await assert.rejects(client.info(), UnauthenticatedError);
  await assert.rejects(client.info(), PermissionDeniedError);
  assert.deepEqual(waits, []);
});

test("tokens that cannot be sent are refused, and not shown", () => {
  for (const options of [{ token: " " }, { token: "a\nb" }, { token: "key", metadata: { Authorization: "x" } }]) {
    assert.throws(
      () => createClient({ target: "127.0.0.1:1", ...options }),
      (error: Error) => error instanceof RangeError && !error.message.includes("key"),
    );
  }
});

test("run passes its options on", async (t) => {
  const server = await serve(t, {
    taskRun: ({ requestId, timeout, labels }) => ({
      taskId: JSON.stringify([requestId, Number(timeout?.seconds), labels]),
    }),
  });
  const { client } = connect(t, server);
  const received = await client.run("{}", "{}", { requestId: "r", taskTimeoutMs: 2000, labels: { a: "b" } });
  assert.equal(received, '["r",2,{"a":"b"}]');
});

test("a refusal carries its code, reason, particulars and violations", async (t) => {
  const violations = [
    { field: "schema.nodes[0]", description: "is missing" },
    { field: "", description: "no" },
  ];
  const server = await serve(t, {
    taskRun: () => {
      throw refusal(Code.InvalidArgument, { reason: "SCHEMA_INVALID", violations, retryMs: 1500 });
    },
  });
  const { client } = connect(t, server);
  await assert.rejects(client.run({}), (error) => {
    assert.ok(error instanceof InvalidWorkflowError);
    assert.equal(error.name, "InvalidWorkflowError");
    assert.equal(error.code, "INVALID_ARGUMENT");
    assert.equal(error.reason, "SCHEMA_INVALID");
    assert.deepEqual(error.metadata, { task_id: "t" });
    assert.deepEqual(error.violations, violations);
    assert.equal(error.retryAfterMs, 1500);
    assert.equal(error.message, "refused\n  schema.nodes[0]: is missing\n  no");
    return true;
  });
});

test("what the server refuses is not tried again", async (t) => {
  const server = await serve(t, {
    taskRun: () => {
      throw refusal(Code.AlreadyExists, { reason: "REQUEST_ID_REUSED" });
    },
  });
  const { client, waits } = connect(t, server);
  await assert.rejects(client.run({}), AlreadyExistsError);
  assert.deepEqual(waits, []);
});

test("a connection that breaks under a call is made anew", async (t) => {
  let calls = 0;
  const server = await serve(t, {
    serverInfo: async (_request, context) => {
      if (++calls === 1) {
        server.cut();
        await hang(context);
      }
      return { name: "x", nodeTypes: ["end"] };
    },
  });
  const { client, waits } = connect(t, server);
  assert.deepEqual((await client.info()).nodeTypes, ["end"]);
  assert.deepEqual(waits, [50]);
});

test("a call that the server cuts off when it ends is made again", async (t) => {
  let attempts = 0;
  const server = await serve(t, {
    taskResult: () => {
      attempts += 1;
      if (attempts === 1) {
        throw refusal(Code.Canceled);
      }
      return { status: SUCCEEDED, outputs: "{}" };
    },
  });
  const { client } = connect(t, server);
  assert.equal((await client.result("t", { wait: true })).taskId, "t");
  assert.equal(attempts, 2);
});

test("no server: UNAVAILABLE, after so many attempts", async (t) => {
  const server = await serve(t);
  await server.stop();
  const { client, waits } = connect(t, server);
  await assert.rejects(client.info(), UnavailableError);
  assert.equal(waits.length, 4);
});

test("no answer in time: DEADLINE_EXCEEDED, and the server knows the deadline", async (t) => {
  const left = new Signal();
  const server = await serve(t, {
    serverInfo: async (_request, context) => {
      await hang(context);
      left.set();
      return {};
    },
  });
  const { client } = connect(t, server);
  await assert.rejects(client.info({ timeoutMs: 500 }), DeadlineExceededError);
  // What is left when the request is made: less, where that takes a while.
  const [, deadline] = /^(\d+)m$/.exec(server.headers[0]?.get("grpc-timeout") ?? "") ?? [];
  assert.ok(Number(deadline) > 0 && Number(deadline) <= 500, deadline);
  await left.promise;
});

test("an aborted signal ends a call with its reason, and one that is aborted already begins none", async (t) => {
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
  const { client } = connect(t, server);
  const controller = new AbortController();
  const call = client.result("t", { wait: true, signal: controller.signal });
  await began.promise;
  controller.abort("stop");
  await assert.rejects(call, (reason) => reason === "stop");
  await left.promise;
  await assert.rejects(client.result("t", { signal: controller.signal }), (reason) => reason === "stop");
  assert.equal(server.headers.length, 1);
});

test("closing the client ends its calls", async (t) => {
  const began = new Signal();
  const server = await serve(t, {
    taskResult: async (_request, context) => {
      began.set();
      await hang(context);
      return {};
    },
  });
  const { client } = connect(t, server);
  const call = client.result("t", { wait: true });
  await began.promise;
  client.close();
  await assert.rejects(call, CallCanceledError);
});

test("run and wait asks on where the server itself came to its end first, with a deadline and without", async (t) => {
  const waits: boolean[] = [];
  const server = await serve(t, {
    taskRun: ({ wait }) => {
      waits.push(wait);
      return { taskId: "t", status: PROCESSING };
    },
    taskResult: ({ wait }) => {
      waits.push(wait);
      return waits.length < 3 ? { status: PROCESSING } : { status: SUCCEEDED, outputs: '{"n":12345678901234567890}' };
    },
  });
  const { client } = connect(t, server);
  for (const timeoutMs of [undefined, 60_000]) {
    waits.length = 0;
    const result = await client.runAndWait({}, {}, { timeoutMs });
    assert.deepEqual(outputsOf(result), { n: 12345678901234567890n });
    assert.equal(result.outputsText, '{"n":12345678901234567890}');
    assert.deepEqual(waits, [true, true, true]);
  }
});

test("outputs that the answer has no room for are asked for", async (t) => {
  const server = await serve(t, {
    taskRun: () => ({ taskId: "t", status: SUCCEEDED }),
    taskResult: () => ({ status: SUCCEEDED, outputs: '{"n":1}' }),
  });
  const { client } = connect(t, server);
  for (const timeoutMs of [undefined, 60_000]) {
    assert.deepEqual(outputsOf(await client.runAndWait({}, {}, { timeoutMs })), { n: 1 });
  }
});

test("with a timeout, an unfinished task is the answer", async (t) => {
  const server = await serve(t, { taskRun: () => ({ taskId: "t", status: PROCESSING }) });
  const { client } = connect(t, server);
  const result = await client.runAndWait({}, {}, { timeoutMs: 900 });
  assert.equal(result.terminated, false);
  assert.throws(() => outputsOf(result), TaskUnfinishedError);
});

test("a task that failed says why", async (t) => {
  const server = await serve(t, {
    taskResult: () => ({ status: { status: 4, terminated: true }, errors: [{ type: 5, text: "boom", nodeId: "n" }] }),
  });
  const { client } = connect(t, server);
  const result = await client.result("t");
  assert.equal(result.status, "failed");
  assert.throws(
    () => outputsOf(result),
    (error) => error instanceof TaskFailedError && error.errors[0]?.type === "error" && /boom/.test(error.message),
  );
});

test("a list goes through its pages, and asks only for those that are wanted", async (t) => {
  const tokens: string[] = [];
  const server = await serve(t, {
    taskList: ({ pageToken, statuses, pageSize }) => {
      tokens.push(pageToken);
      assert.deepEqual([statuses, pageSize], [[4], 2]);
      const n = Number(pageToken);
      return { tasks: [{ taskId: `a${n}` }, { taskId: `b${n}` }], nextPageToken: n < 2 ? `${n + 1}` : "" };
    },
  });
  const { client } = connect(t, server);
  const ids = (await all(client.list({ statuses: ["failed"], pageSize: 2 }))).map(({ taskId }) => taskId);
  assert.deepEqual(ids, ["a0", "b0", "a1", "b1", "a2", "b2"]);
  tokens.length = 0;
  for await (const task of client.list({ statuses: ["failed"], pageSize: 2 })) {
    if (task.taskId === "a1") {
      break;
    }
  }
  assert.deepEqual(tokens, ["", "1"]);
});

test("a report comes with its nodes in order", async (t) => {
  const server = await serve(t, {
    taskReport: ({ view }) => ({
      report: {
        taskId: "t",
        inputs: view === 2 ? "{}" : "",
        status: PROCESSING,
        nodes: [
          {
            nodeId: "b",
            status: SUCCEEDED,
            snapshots: [{ id: "b", nodeId: "b", iterations: [{ loopNodeId: "l", index: 3 }] }],
          },
          { nodeId: "a", status: { status: 99 as Status } },
        ],
        lastSequence: 7n,
      },
    }),
  });
  const { client } = connect(t, server);
  const report = await client.report("t");
  assert.deepEqual([...report.nodes.keys()], ["b", "a"]);
  assert.deepEqual(report.nodes.get("b")?.snapshots[0]?.iterations, [{ loopNodeId: "l", index: 3 }]);
  assert.equal(report.nodes.get("a")?.status, "unspecified");
  assert.deepEqual([report.lastSequence, report.inputs], [7, {}]);
  assert.equal((await client.report("t", { view: "basic" })).inputs, undefined);
});

test("a check tells what is wrong, where, and what is probably not meant", async (t) => {
  const found = { valid: true, warnings: [{ field: "inputs.x", text: "is not declared" }] };
  const server = await serve(t, {
    taskValidate: ({ inputs }) =>
      [found, { problems: [{ field: "schema", text: "x" }], errors: ["x"] }, { errors: ["x", "y"] }, {}][
        Number((JSON.parse(inputs) as { case: number }).case)
      ] ?? {},
  });
  const { client } = connect(t, server);
  const warnings = [{ field: "inputs.x", description: "is not declared" }];
  assert.deepEqual(await client.validate({}, { case: 0 }), { valid: true, violations: [], warnings });
  const refused = async (number: number) => (await client.validate({}, { case: number })).violations;
  assert.deepEqual(await refused(1), [{ field: "schema", description: "x" }]);
  assert.deepEqual(
    (await refused(2)).map(({ description }) => description),
    ["x", "y"],
  );
  assert.deepEqual(await refused(3), [{ field: "", description: "not valid" }]);
});

test("metadata goes with every call", async (t) => {
  const server = await serve(t, { taskCancel: () => ({ success: true }), taskValidate: () => ({ errors: ["x"] }) });
  const { client } = connect(t, server, { metadata: { authorization: "Bearer abc" } });
  assert.equal(await client.cancel("t", { reason: "r" }), true);
  assert.equal((await client.validate({})).valid, false);
  assert.deepEqual(
    server.headers.map((headers) => headers.get("authorization")),
    ["Bearer abc", "Bearer abc"],
  );
});

test("answers far beyond 4 MB arrive", async (t) => {
  const outputs = JSON.stringify({ text: "ä".repeat(10_000_000) });
  const server = await serve(t, { taskResult: () => ({ status: SUCCEEDED, outputs }) });
  const { client } = connect(t, server);
  assert.equal((await client.result("t")).outputsText, outputs);
  assert.ok(MAX_RECEIVE_BYTES > outputs.length);
});

test("a failure of the server's own keeps its code", async (t) => {
  const server = await serve(t, {
    serverInfo: () => {
      throw refusal(Code.Internal, { reason: "INTERNAL" });
    },
  });
  const { client, waits } = connect(t, server);
  await assert.rejects(client.info(), (error) => error instanceof RequestError && error.code === "INTERNAL");
  assert.deepEqual(waits, []);
});

test("targets that are none are refused at once", () => {
  for (const target of ["", "http://a/path", "a b:1", "host:99999"]) {
    assert.throws(() => createClient({ target }), RangeError, target);
  }
  for (const target of ["localhost:50051", "[::1]:50051", "https://example.com", "http://a:80/"]) {
    createClient({ target }).close();
  }
});
