/** `POST /api/tasks/batch`: NDJSON in, NDJSON out. The first line has the defaults, each further one a run. */

import { durationFromMs } from "@bufbuild/protobuf/wkt";

import type { BatchRun, RawOutcome } from "../src/batch.js";
import type { Operations } from "../src/operations.js";
import { encode, messageShape, object, statusShape, type Shape } from "./encoding.js";
import type { Exchange } from "./exchange.js";
import { invalid, Problem, problemOf } from "./problem.js";
import { nextChunk, parseBody } from "./request.js";

// Pages of other origins cannot say any of these without asking first.
const LINES_OF_JSON = new Set(["application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/json"]);

const LONGEST_TIMEOUT_MS = 315_576_000_000_000;
const LARGEST_COUNT = 2 ** 31 - 1;

/** Run a workflow for each line of the body but the first; the body is read no further than outcomes are taken. */
export async function batch(operations: Operations, exchange: Exchange, writeTimeoutMs: number): Promise<void> {
  const kind = exchange.request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (!LINES_OF_JSON.has(kind)) {
    throw new Problem(415, "CONTENT_TYPE_UNSUPPORTED", "the Content-Type of the body must be application/x-ndjson");
  }
  const lines = new Lines(exchange);
  const { defaults, maxInFlight } = await readDefaults(lines);
  const answer = new Answer(exchange, writeTimeoutMs);
  const wrong: string[] = [];
  try {
    for await (const outcome of operations.runBatch(defaults, readRuns(lines, wrong), maxInFlight, exchange.settings)) {
      await answer.write(wrong.splice(0).join("") + outcomeLine(outcome, exchange));
    }
  } catch (thrown) {
    if (exchange.left) {
      return;
    }
    if (!answer.opened && wrong.length === 0) {
      throw thrown;
    }
    await answer.write(wrong.splice(0).join("") + line({ error: problemShape(problemOf(thrown, exchange.log)) }));
  }
  await answer.write(wrong.join(""));
  exchange.response.end();
}

async function readDefaults(lines: Lines) {
  const first = await lines.next(lines.readTimeoutMs);
  if (first === undefined) {
    throw invalid("the first line must have the defaults of the batch");
  }
  const body = parseBody(first);
  const timeoutMs = body.integer("timeout", LONGEST_TIMEOUT_MS);
  const maxInFlight = body.integer("maxInFlight", LARGEST_COUNT);
  const defaults = {
    schema: body.required("schema"),
    labels: body.strings("labels"),
    displayName: body.name("displayName"),
    ...(timeoutMs > 0 && { timeout: durationFromMs(timeoutMs) }),
  };
  body.check();
  return { defaults, maxInFlight };
}

/** The runs of all further lines; for each that is wrong a line of the answer goes to `wrong`. */
async function* readRuns(lines: Lines, wrong: string[]): AsyncGenerator<BatchRun> {
  for (;;) {
    const bytes = await lines.next(undefined);
    if (bytes === undefined) {
      return;
    }
    const { number } = lines;
    let run: BatchRun;
    try {
      const body = parseBody(bytes);
      run = {
        key: body.name("key") || String(number),
        inputs: body.object("inputs"),
        requestId: body.name("requestID"),
        labels: body.strings("labels"),
        displayName: body.name("displayName"),
      };
      body.check();
    } catch (error) {
      if (!(error instanceof Problem)) {
        throw error;
      }
      wrong.push(line({ line: number, error: problemShape(error) }));
      continue;
    }
    yield run;
  }
}

/** The lines of a body, read as they are wanted; blank ones are passed over. */
class Lines {
  /** That of the last line, from 1. */
  number = 0;
  readonly readTimeoutMs: number;
  private readonly limit: number;
  private readonly chunks: AsyncIterator<Buffer>;
  private readonly parts: Buffer[] = [];
  private rest: Buffer = Buffer.alloc(0);
  private length = 0;
  private ended = false;

  constructor({ request, bodyLimits }: Exchange) {
    this.chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
    this.limit = bodyLimits.maxBytes;
    this.readTimeoutMs = bodyLimits.readTimeoutMs;
  }

  /** The next line; undefined at the end. */
  async next(timeoutMs: number | undefined): Promise<Buffer | undefined> {
    for (;;) {
      const end = this.rest.indexOf(0x0a);
      if (end !== -1 || (this.ended && this.length > 0)) {
        const last = this.rest.subarray(0, end === -1 ? this.rest.length : end);
        const found = Buffer.concat([...this.parts.splice(0), last]);
        this.rest = end === -1 ? Buffer.alloc(0) : this.rest.subarray(end + 1);
        this.length = this.rest.length;
        if (found.length > this.limit) {
          throw this.tooLong();
        }
        if (found.some((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0d)) {
          this.number++;
          return found;
        }
        continue;
      }
      if (this.ended) {
        return undefined;
      }
      if (this.rest.length > 0) {
        this.parts.push(this.rest);
        this.rest = Buffer.alloc(0);
      }
      if (this.length > this.limit) {
        throw this.tooLong();
      }
      const { done, value } = await nextChunk(this.chunks, timeoutMs);
      if (done === true) {
        this.ended = true;
      } else {
        this.rest = value;
        this.length += value.length;
      }
    }
  }

  private tooLong(): Problem {
    return new Problem(413, "BODY_TOO_LARGE", `a line of the body has more than ${this.limit} bytes`);
  }
}

/** Writes the lines of an answer; opened with the first one. */
class Answer {
  opened = false;

  constructor(
    private readonly exchange: Exchange,
    private readonly writeTimeoutMs: number,
  ) {}

  async write(text: string): Promise<void> {
    const { response } = this.exchange;
    if (!this.opened) {
      this.opened = true;
      response.writeHead(200, {
        "Content-Type": "application/x-ndjson",
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
      });
    }
    if (text !== "" && !response.write(text)) {
      await this.exchange.drained(this.writeTimeoutMs);
    }
  }
}

function outcomeLine({ key, response, refusal }: RawOutcome, exchange: Exchange): string {
  if (response === undefined) {
    return line({ key, error: problemShape(problemOf(refusal, exchange.log)) });
  }
  const { taskId, status, outputs, errors } = response;
  return line({
    key,
    taskID: taskId,
    workflowStatus: statusShape(status),
    outputs: outputs === "" ? undefined : object(outputs),
    messages: errors.length > 0 ? errors.map(messageShape) : undefined,
  });
}

function problemShape({ code, message, errors }: Problem): Shape {
  return { code, message, errors };
}

function line(shape: Shape): string {
  return `${encode(shape)}\n`;
}
