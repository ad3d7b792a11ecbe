/**
 * Makes the calls of the client that it reads from stdin, and writes what comes of them to stdout, one JSON object per
 * line. The tests that all clients have in common drive it; tests/clients/runner.py says how they speak.
 */

import { createInterface } from "node:readline";

import * as flowgram from "../src/index.js";

interface Arguments {
  readonly task_id?: string;
  readonly schema?: string;
  readonly inputs?: string;
  readonly request_id?: string;
  /** Seconds. */
  readonly task_timeout?: number;
  readonly labels?: Record<string, string>;
  readonly name?: string;
  /** A key and inputs each. */
  readonly runs?: [string, string][];
  /** By their numbers in the contract. */
  readonly statuses?: number[];
  readonly page_size?: number;
  readonly reason?: string;
  readonly basic?: boolean;
  readonly after?: number;
  readonly deltas?: boolean;
}

/** A line of stdin: a call, or a word about one that is under way. */
interface Command {
  readonly id: number;
  readonly call: string;
  readonly arguments?: Arguments;
  /** Seconds. */
  readonly timeout?: number;
  readonly metadata?: Record<string, string>;
  /** So many more events of a watch are wanted. */
  readonly demand?: number;
  readonly cancel?: boolean;
}

/** The errors of the package, by the names that the scenarios have for them; the first one that fits counts. */
const KINDS: [new (...args: never[]) => Error, string][] = [
  [flowgram.InvalidWorkflowError, "invalid_workflow"],
  [flowgram.InvalidArgumentError, "invalid_argument"],
  [flowgram.TaskNotFoundError, "task_not_found"],
  [flowgram.AlreadyExistsError, "already_exists"],
  [flowgram.SequenceOutOfRangeError, "sequence_out_of_range"],
  [flowgram.ResourceExhaustedError, "resource_exhausted"],
  [flowgram.UnavailableError, "unavailable"],
  [flowgram.DeadlineExceededError, "deadline_exceeded"],
];

const STATUSES = ["unspecified", "pending", "processing", "succeeded", "failed", "canceled"] as const;

/** A call under way. */
class Running {
  readonly controller = new AbortController();
  private wanted = 0;
  private wake: () => void = () => undefined;

  demand(count: number): void {
    this.wanted += count;
    this.wake();
  }

  cancel(): void {
    this.controller.abort();
    this.wake();
  }

  /** Resolves when an event is wanted. */
  async turn(): Promise<void> {
    while (this.wanted === 0) {
      this.controller.signal.throwIfAborted();
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    this.wanted--;
  }
}

async function perform(client: flowgram.Client, received: Command, running: Running): Promise<unknown> {
  const a = received.arguments ?? {};
  const taskId = a.task_id ?? "";
  const settings = {
    signal: running.controller.signal,
    timeoutMs: received.timeout ? received.timeout * 1000 : undefined,
    metadata: received.metadata,
  };
  const runOptions = {
    ...settings,
    requestId: a.request_id,
    taskTimeoutMs: a.task_timeout ? a.task_timeout * 1000 : undefined,
    labels: a.labels,
    displayName: a.name,
  };
  const view = a.basic ? "basic" : "full";
  switch (received.call) {
    case "run":
      return client.run(valueOf(a.schema), valueOf(a.inputs), runOptions);
    case "run_and_wait":
      return shapeResult(await client.runAndWait(valueOf(a.schema), valueOf(a.inputs), runOptions));
    case "result":
    case "wait":
      return shapeResult(await client.result(taskId, { ...settings, wait: received.call === "wait" }));
    case "report":
      return shapeReport(await client.report(taskId, { ...settings, view }));
    case "cancel":
      return client.cancel(taskId, { ...settings, reason: a.reason ?? "" });
    case "validate": {
      const { violations, warnings } = await client.validate(valueOf(a.schema), valueOf(a.inputs), settings);
      return { violations: shapeViolations(violations), warnings: shapeViolations(warnings) };
    }
    case "get":
      return shapeTask(await client.get(taskId, settings));
    case "run_batch": {
      const runs = a.runs?.map(([key, inputs]) => ({ key, inputs: valueOf(inputs) })) ?? [];
      const outcomes: unknown[] = [];
      for await (const { key, result, refusal } of client.runBatch(valueOf(a.schema), runs, settings)) {
        outcomes.push({ key, result: result ? shapeResult(result) : null, refusal: refusal?.reason ?? "" });
      }
      return outcomes;
    }
    case "list": {
      const ids: string[] = [];
      const statuses = a.statuses?.map((number) => STATUSES[number] ?? "unspecified");
      const filters = { statuses, labels: a.labels, pageSize: a.page_size };
      for await (const task of client.list({ ...settings, ...filters })) {
        ids.push(task.taskId);
      }
      return ids;
    }
    case "info": {
      const { name, nodeTypes } = await client.info(settings);
      return { name, node_types: nodeTypes };
    }
    case "watch": {
      await running.turn();
      const options = { ...settings, view, afterSequence: a.after, deltas: a.deltas } as const;
      for await (const event of client.watch(taskId, options)) {
        write({ id: received.id, event: shapeEvent(event) });
        await running.turn();
      }
      return null;
    }
    case "watch_tasks": {
      await running.turn();
      const filter = { ...settings, labels: a.labels };
      for await (const change of client.watchTasks(filter)) {
        // What there is when nothing is missed any more, then what changes.
        for await (const task of change.kind === "live" ? client.list(filter) : change.tasks) {
          write({ id: received.id, event: { task_id: task.taskId, status: task.status.toUpperCase() } });
          await running.turn();
        }
      }
      return null;
    }
    default:
      throw new Error(`there is no call ${received.call}`);
  }
}

/** Documents go through the package's own JSON, both ways, except where they are none. */
function valueOf(text = ""): flowgram.JsonSource {
  try {
    const value = flowgram.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : text;
  } catch {
    return text;
  }
}

function textOf(value: flowgram.JsonObject | undefined): string {
  return value === undefined ? "" : flowgram.stringify(value);
}

function shapeError(error: unknown, running: Running): unknown {
  const canceled = running.controller.signal.aborted && error === running.controller.signal.reason;
  const kind = canceled ? "canceled" : KINDS.find(([type]) => error instanceof type)?.[1];
  const refused = error instanceof flowgram.RequestError ? error : undefined;
  return {
    kind: kind ?? "other",
    message: error instanceof Error ? error.message : String(error),
    reason: refused?.reason ?? "",
    violations: shapeViolations(refused?.violations ?? []),
  };
}

function shapeViolations(violations: readonly flowgram.Violation[]): [string, string][] {
  return violations.map(({ field, description }) => [field, description]);
}

function shapeTask(task: flowgram.Task): unknown {
  return {
    task_id: task.taskId,
    status: task.status.toUpperCase(),
    name: task.displayName,
    labels: task.labels,
    schema: task.schemaText,
    inputs: task.inputsText,
  };
}

function shapeResult({ taskId, status, outputs, errors }: flowgram.Result): unknown {
  return {
    task_id: taskId,
    status: status.toUpperCase(),
    outputs: textOf(outputs),
    errors: errors.map(({ text }) => text),
  };
}

function shapeReport(report: flowgram.Report): unknown {
  return {
    task_id: report.taskId,
    status: report.status.toUpperCase(),
    inputs: textOf(report.inputs),
    outputs: textOf(report.outputs),
    nodes: [...report.nodes.keys()],
    messages: report.messages.map(({ text }) => text),
    last_sequence: report.lastSequence,
  };
}

function shapeEvent(event: flowgram.Event): unknown {
  const { sequence } = event;
  switch (event.kind) {
    case "taskStatusChanged":
      return { sequence, kind: "task", status: event.status.toUpperCase(), outputs: textOf(event.outputs) };
    case "nodeStatusChanged": {
      const { inputs, outputs } = event.snapshot;
      const status = event.status.toUpperCase();
      return {
        sequence,
        kind: "node",
        status,
        node_id: event.nodeId,
        inputs: textOf(inputs),
        outputs: textOf(outputs),
      };
    }
    case "message":
      return { sequence, kind: "message", text: event.message.text, node_id: event.message.nodeId };
    case "outputDelta":
      return { sequence, kind: "delta", text: event.text, node_id: event.nodeId };
  }
}

function write(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main(target: string): Promise<void> {
  using client = flowgram.createClient({ target });
  const calls = new Map<number, Running>();
  for await (const line of createInterface({ input: process.stdin })) {
    const received = JSON.parse(line) as Command;
    const known = calls.get(received.id);
    if (known !== undefined) {
      if (received.cancel) {
        known.cancel();
      }
      known.demand(received.demand ?? 0);
      continue;
    }
    const running = new Running();
    calls.set(received.id, running);
    perform(client, received, running).then(
      (result) => write({ id: received.id, result }),
      (error: unknown) => write({ id: received.id, error: shapeError(error, running) }),
    );
  }
}

const [target] = process.argv.slice(2);
if (target === undefined) {
  process.stderr.write("usage: contract.js HOST:PORT\n");
  process.exitCode = 2;
} else {
  await main(target);
}
