import assert from "node:assert/strict";
import { test } from "node:test";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";

import { InvalidArgumentError, InvalidValueError, type BatchOutcome, type BatchRun } from "../src/index.js";
import type {
  BatchOutcomeSchema,
  BatchRun as WireRun,
  TaskRunBatchRequest,
  TaskRunBatchResponseSchema,
} from "../src/contract.js";
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

const rejected = ({ key }: WireRun, code: Code, message = ""): Outcome => ({
  key,
  result: { case: "rejected", value: { code, message } },
});

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
  function* endless(): Generator<BatchRun> {
    for (;;) {
      taken++;
      yield {};
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
  assert.ok(taken < 40, String(taken));
});
