import assert from "node:assert/strict";
import { test } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";

import {
  InvalidArgumentError,
  InvalidValueError,
  ResourceExhaustedError,
  UnavailableError,
  type BatchOutcome,
  type BatchRun,
} from "../src/index.js";
import type {
  BatchOutcomeSchema,
  BatchRun as WireRun,
  TaskRunBatchRequest,
  TaskRunBatchResponseSchema,
} from "../src/contract.js";
import { RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { hang, refusal, Signal } from "./support/scripted_server.js";
import { connect, serve } from "./support/serving.js";

type Outcome = MessageInitShape<typeof BatchOutcomeSchema>;
type Response = MessageInitShape<typeof TaskRunBatchResponseSchema>;

function* rows(count: number): Generator<BatchRun> {
  for (let n = 0; n < count; n++) {
    yield { key: `k${n}`, inputs: { n } };
  }
}

const done = ({ key, request }: WireRun): Outcome => ({
  key,
  result: {
    case: "outcome",
    value: { taskId: request?.requestId ?? "", status: { status: 3, terminated: true }, outputs: request?.inputs ?? "" },
  },
});

const rejected = ({ key }: WireRun, code: Code, message = "", retryAfterMs?: number): Outcome => {
  const retry = create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs ?? 0) });
  const details = retryAfterMs === undefined ? [] : [anyPack(RetryInfoSchema, retry)];
  return { key, result: { case: "rejected", value: { code, message, details } } };
};

async function* each(
  requests: AsyncIterable<TaskRunBatchRequest>,
  answer: (run: WireRun) => Outcome | undefined,
): AsyncGenerator<Response> {
  for await (const { runs } of requests) {
    const outcomes = runs.map(answer).filter((outcome) => outcome !== undefined);
    if (outcomes.length > 0) {
      yield { outcomes };
    }
  }
}

async function collect(outcomes: AsyncIterable<BatchOutcome>): Promise<number[]> {
  const indices: number[] = [];
  for await (const { index, key, result, refusal: refused } of outcomes) {
    assert.equal(key, `k${index}`);
    assert.ok(refused !== undefined || result?.outputs?.["n"] === index);
    indices.push(index);
  }
  return indices.sort((a, b) => a - b);
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

test("every run of a batch has one outcome, and no more are under way than may be", async (t) => {
  let taken = 0;
  function* counted(): Generator<BatchRun> {
    for (const run of rows(100)) {
      taken++;
      yield run;
    }
  }
  let takenWhenFull = 0;
  const server = await serve(t, {
    async *taskRunBatch(requests) {
      let held: Outcome[] = [];
      for await (const { defaults, maxInFlight, runs } of requests) {
        if (defaults !== undefined) {
          assert.deepEqual([defaults.schema, defaults.requestId, maxInFlight], ["{}", "", 10]);
        }
        for (const run of runs) {
          held.push(done(run));
          if (held.length >= 10 || run.key === "99") {
            takenWhenFull ||= taken;
            yield { outcomes: held.reverse() };
            held = [];
          }
        }
      }
    },
  });
  const { client } = connect(t, server);
  assert.deepEqual(await collect(client.runBatch("{}", counted(), { maxInFlight: 10 })), upTo(100));
  assert.equal(takenWhenFull, 11); // one waits for its place
  assert.deepEqual(await collect(client.runBatch("{}", [], { maxInFlight: 10 })), []);
});

test("messages are bounded by the number of their runs and by their length", async (t) => {
  const sizes: number[] = [];
  const server = await serve(t, {
    taskRunBatch: (requests) =>
      each(
        (async function* () {
          for await (const request of requests) {
            sizes.push(request.runs.length);
            yield request;
          }
        })(),
        done,
      ),
  });
  const { client } = connect(t, server);
  assert.deepEqual(await collect(client.runBatch({}, rows(200))), upTo(200));
  assert.ok(sizes.every((size) => size <= 64), String(sizes));
  assert.ok(sizes.includes(64), String(sizes));

  sizes.length = 0;
  const inputs = { n: 0, text: "x".repeat(600_000) };
  for await (const { result } of client.runBatch({}, [{ inputs }, { inputs }, { inputs }, { inputs }])) {
    assert.equal(result?.outputs?.["n"], 0);
  }
  assert.ok(sizes.every((size) => size <= 2), String(sizes));
});

test("a batch goes on over broken connections with the runs that have no outcome, under the same request ids", async (t) => {
  const ids = new Map<string, string>();
  let streams = 0;
  const server = await serve(t, {
    async *taskRunBatch(requests) {
      const breaks = ++streams <= 3;
      let answered = 0;
      yield* each(requests, (run) => {
        const id = run.request?.requestId ?? "";
        assert.equal(ids.get(run.key) ?? id, id);
        ids.set(run.key, id);
        if (breaks && ++answered > 7) {
          server.cut();
          return undefined;
        }
        return done(run);
      });
    },
  });
  const { client } = connect(t, server);
  const options = { requestId: "b", maxInFlight: 16 };
  assert.deepEqual(await collect(client.runBatch({}, rows(60), options)), upTo(60));
  assert.ok(streams > 1);
  assert.equal(ids.get("59"), "b/59");
});

test("a run that is refused is an outcome; one that is refused for now is sent again", async (t) => {
  const tries = new Map<string, number>();
  const server = await serve(t, {
    taskRunBatch: (requests) =>
      each(requests, (run) => {
        const count = (tries.get(run.key) ?? 0) + 1;
        tries.set(run.key, count);
        if (run.key === "0") {
          return rejected(run, Code.InvalidArgument, "no");
        }
        return run.key === "1" && count < 3 ? rejected(run, Code.Unavailable) : done(run);
      }),
  });
  const { client } = connect(t, server);
  const refusals = new Map<number, unknown>();
  for await (const { index, refusal: refused } of client.runBatch({}, rows(3))) {
    refusals.set(index, refused);
  }
  assert.ok(refusals.get(0) instanceof InvalidArgumentError);
  assert.deepEqual([refusals.get(1), refusals.get(2), tries.get("0"), tries.get("1")], [undefined, undefined, 1, 3]);
});

test("a run that stays refused for now is an outcome in the end, and one without advice at once", async (t) => {
  const tries = new Map<string, number>();
  const server = await serve(t, {
    taskRunBatch: (requests) =>
      each(requests, (run) => {
        const count = (tries.get(run.key) ?? 0) + 1;
        tries.set(run.key, count);
        switch (run.key) {
          case "0":
            return rejected(run, Code.Unavailable);
          case "1":
            return rejected(run, Code.ResourceExhausted);
          default:
            return count === 1 ? rejected(run, Code.ResourceExhausted, "", 7000) : done(run);
        }
      }),
  });
  const { client, waits } = connect(t, server, { reconnect: { attempts: 3 } });
  const refusals: unknown[] = [];
  for await (const { index, refusal: refused } of client.runBatch({}, rows(3))) {
    refusals[index] = refused;
  }
  assert.ok(refusals[0] instanceof UnavailableError);
  assert.ok(refusals[1] instanceof ResourceExhaustedError);
  assert.equal(refusals[2], undefined);
  assert.deepEqual(Object.fromEntries(tries), { 0: 3, 1: 1, 2: 2 });
  assert.deepEqual(waits.toSorted((a, b) => a - b), [50, 100, 7000]);
});

test("a run that waits to be sent again is sent once on a new stream", async (t) => {
  const release = new Signal();
  const keys: string[] = [];
  let streams = 0;
  const server = await serve(t, {
    async *taskRunBatch(requests) {
      const first = ++streams === 1;
      for await (const { runs } of requests) {
        for (const run of runs) {
          if (first) {
            yield { outcomes: [rejected(run, Code.Unavailable)] };
            server.cut();
            return;
          }
          keys.push(run.key);
          release.set();
          if (run.key === "1") {
            yield { outcomes: [done({ ...run, key: "0" }), done(run)] };
          }
        }
      }
    },
  });
  let sleeps = 0;
  const sleep = () => (++sleeps === 1 ? release.promise : Promise.resolve());
  const { client } = connect(t, server, { timing: { sleep, random: () => 0 } });
  async function* source(): AsyncGenerator<BatchRun> {
    yield {};
    await release.promise;
    await new Promise((resolve) => setImmediate(resolve));
    yield {};
  }
  const indices: number[] = [];
  for await (const { index } of client.runBatch({}, source())) {
    indices.push(index);
  }
  assert.deepEqual(indices, [0, 1]);
  assert.deepEqual(keys, ["0", "1"]);
});

test("failures are counted anew after an outcome", async (t) => {
  let streams = 0;
  const server = await serve(t, {
    async *taskRunBatch(requests) {
      streams++;
      let answered = false;
      for await (const { runs } of requests) {
        if (answered) {
          server.cut();
        } else if (runs.length > 0) {
          answered = true;
          yield { outcomes: runs.map(done) };
        }
      }
    },
  });
  const { client } = connect(t, server, { reconnect: { attempts: 2 } });
  assert.deepEqual(await collect(client.runBatch({}, rows(6), { maxInFlight: 2 })), upTo(6));
  assert.ok(streams > 2, String(streams));
});

test("a batch waits for a source that takes its time, and its runs arrive as they were given", async (t) => {
  const seen: [string, string, Record<string, string>][] = [];
  let streams = 0;
  const server = await serve(t, {
    taskRunBatch: (requests) => {
      streams++;
      return each(requests, (run) => {
        const { requestId = "", displayName = "", labels = {} } = run.request ?? {};
        seen.push([requestId, displayName, labels]);
        return done(run);
      });
    },
  });
  const { client } = connect(t, server);
  const answered = new Signal();
  async function* source(): AsyncGenerator<BatchRun> {
    yield { requestId: "own", displayName: "a name", labels: { a: "b" } };
    await answered.promise;
    await new Promise((resolve) => setImmediate(resolve));
    yield {};
  }
  const indices: number[] = [];
  for await (const { index } of client.runBatch({}, source(), { requestId: "b" })) {
    indices.push(index);
    answered.set();
  }
  assert.deepEqual(indices, [0, 1]);
  assert.equal(streams, 1);
  assert.deepEqual(seen[0], ["own", "a name", { a: "b" }]);
  assert.deepEqual(seen[1], ["b/1", "", {}]);
});

test("a batch that is refused as a whole ends with the error, and inputs that are not JSON end it too", async (t) => {
  const server = await serve(t, {
    async *taskRunBatch(requests) {
      for await (const { maxInFlight } of requests) {
        if (maxInFlight === 1) {
          throw refusal(Code.InvalidArgument, { reason: "ARGUMENT_INVALID" });
        }
      }
    },
  });
  const { client } = connect(t, server);
  await assert.rejects(collect(client.runBatch({}, rows(3), { maxInFlight: 1 })), InvalidArgumentError);
  await assert.rejects(collect(client.runBatch({}, [{ key: "k0", inputs: { n: NaN } }])), InvalidValueError);
});

test("leaving the loop ends the batch, and takes no further runs", async (t) => {
  const left = new Signal();
  let taken = 0;
  const ended = new Signal();
  function* endless(): Generator<BatchRun> {
    try {
      for (;;) {
        taken++;
        yield {};
      }
    } finally {
      ended.set();
    }
  }
  const server = await serve(t, {
    async *taskRunBatch(requests, context) {
      void hang(context).then(() => left.set());
      yield* each(requests, done);
    },
  });
  const { client } = connect(t, server);
  for await (const _outcome of client.runBatch({}, endless(), { maxInFlight: 4 })) {
    break;
  }
  await left.promise;
  await ended.promise; // what the source holds is let go of
  assert.ok(taken < 40, String(taken));
});
