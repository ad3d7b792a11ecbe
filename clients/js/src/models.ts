/**
 * The data of the service, as plain values.
 *
 * Times are `Date`, to the millisecond; durations are milliseconds. JSON documents come parsed (integers beyond 2^53
 * as BigInt), and beside them, in fields whose names end in `Text`, as the text that travelled. What is not (yet)
 * known is undefined, or an empty text.
 */

import { TaskCanceledError, TaskFailedError, TaskUnfinishedError, type RequestError, type Violation } from "./errors.js";
import type { JsonObject } from "./json.js";
import type { TaskMessage } from "./messages.js";

/** The status of a task, or of one run of a node; "unspecified" is one that came after this version. */
export type Status = "unspecified" | "pending" | "processing" | "succeeded" | "failed" | "canceled";

/** How much to receive: "basic" leaves the JSON of inputs and outputs out. */
export type ViewName = "basic" | "full";

/** A status and its times. */
export interface StatusInfo {
  readonly status: Status;
  /** Whether nothing more will happen. */
  readonly terminated: boolean;
  /** Undefined until it has started. */
  readonly startTime: Date | undefined;
  /** Undefined until it has ended. */
  readonly endTime: Date | undefined;
  /** How long it took, or has taken so far. */
  readonly timeCostMs: number | undefined;
}

/** One run of a loop's block. */
export interface Iteration {
  readonly loopNodeId: string;
  /** Of the item, from 0. */
  readonly index: number;
}

/** One run of a node. */
export interface Snapshot {
  readonly id: string;
  readonly nodeId: string;
  /** The loops around the node, outermost first. */
  readonly iterations: readonly Iteration[];
  readonly inputs: JsonObject | undefined;
  readonly inputsText: string;
  readonly outputs: JsonObject | undefined;
  readonly outputsText: string;
  /** The node's own data from the schema: in reports only. */
  readonly data: JsonObject | undefined;
  readonly dataText: string;
  /** The output port that was taken, for nodes that branch. */
  readonly branch: string;
  readonly error: string;
}

/** All runs of one node. The status is that of the latest. */
export interface NodeReport extends StatusInfo {
  readonly nodeId: string;
  readonly snapshots: readonly Snapshot[];
}

/** Everything known about a task at one moment. */
export interface Report extends StatusInfo {
  readonly taskId: string;
  readonly inputs: JsonObject | undefined;
  readonly inputsText: string;
  readonly outputs: JsonObject | undefined;
  readonly outputsText: string;
  /** By node id, in the order in which the nodes first started. */
  readonly nodes: ReadonlyMap<string, NodeReport>;
  readonly messages: readonly TaskMessage[];
  /** Watch after it to go on from here. */
  readonly lastSequence: number;
}

/** The outcome of a task, or that it has none yet. */
export interface Result extends StatusInfo {
  readonly taskId: string;
  /** Undefined unless the task succeeded; see `outputsOf`. */
  readonly outputs: JsonObject | undefined;
  readonly outputsText: string;
  /** Why the task failed: its error messages, in order. */
  readonly errors: readonly TaskMessage[];
}

/** One line of a list of tasks. */
export interface TaskSummary extends StatusInfo {
  readonly taskId: string;
  readonly createTime: Date | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** For people; may be empty. */
  readonly displayName: string;
  /** Empty if the server has no namespaces. */
  readonly namespace: string;
  /** That of its last event: of two summaries of one task the one with the higher value is the later one. */
  readonly lastSequence: number;
}

/** What a task is: what was run, without its events and outcome. Secrets are masked. */
export interface Task extends TaskSummary {
  readonly schema: JsonObject | undefined;
  /** The JSON text of `schema`. */
  readonly schemaText: string;
  readonly inputs: JsonObject | undefined;
  /** The JSON text of `inputs`. */
  readonly inputsText: string;
  /** The task fails when it has run for so many milliseconds; undefined: no limit. */
  readonly timeoutMs: number | undefined;
}

/** What became of one run of a batch: it has a result or a refusal. */
export interface BatchOutcome {
  /** The index of the run in the batch, from 0. */
  readonly index: number;
  /** That of the run. */
  readonly key: string;
  /** The outcome of a task that has ended, in whatever status. */
  readonly result: Result | undefined;
  /** Why the run was refused, as `run` would have thrown. */
  readonly refusal: RequestError | undefined;
}

/** What a watch of tasks gives. */
export type TasksChange =
  /** From now on nothing is missed. List the tasks now; those that are given later replace those of the list unless their
   * `lastSequence` is lower. It comes first, and again after every lost connection. */
  | { readonly kind: "live" }
  /** Tasks have changed. One that no longer fits the filter is given once more. */
  | {
      readonly kind: "tasksChanged";
      readonly tasks: readonly TaskSummary[];
      /** Tasks whose retention has passed. */
      readonly removedTaskIds: readonly string[];
    };

/** What a check of a workflow and its inputs found. */
export interface Validation {
  /** Whether `run` would accept them. */
  readonly valid: boolean;
  /** All that is wrong with the schema, or, if nothing is, with the inputs. */
  readonly violations: readonly Violation[];
  /** What does not keep the workflow from running, and is probably not meant. */
  readonly warnings: readonly Violation[];
}

/** Name, version and capabilities of a server. */
export interface Caller {
  /** Its name in the server's logs, such as `key:ID`. */
  readonly name: string;
  readonly namespace: string;
  /** `reader`, `runner` or `admin`; take one that you do not know for `reader`. */
  readonly role: string;
}

/** What a server says of itself. */
export interface ServerInfo {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly runtime: string;
  readonly version: string;
  /** The server's clock. */
  readonly time: Date | undefined;
  /** The node types that it can execute. */
  readonly nodeTypes: readonly string[];
  /** What it offers beyond the contract, such as "console". */
  readonly features: readonly string[];
  /** The bounds of what it takes. */
  readonly limits: { readonly maxMessageBytes: number; readonly maxSchemaBytes: number; readonly maxInputsBytes: number };
  /** Who calls; undefined where the server asks for no credentials, or got none. */
  readonly caller: Caller | undefined;
}

/**
 * The outputs of a task that succeeded.
 *
 * @throws TaskFailedError, TaskCanceledError or TaskUnfinishedError if it has none
 */
export function outputsOf(result: Result): JsonObject {
  const { taskId, status, errors } = result;
  switch (status) {
    case "succeeded":
      return result.outputs ?? {};
    case "failed": {
      const why = errors.map(({ text }) => text).join("; ") || "no reason given";
      throw new TaskFailedError(`task ${taskId} failed: ${why}`, taskId, errors);
    }
    case "canceled":
      throw new TaskCanceledError(`task ${taskId} was canceled`, taskId, errors);
    default:
      throw new TaskUnfinishedError(`task ${taskId} is ${status}`, taskId);
  }
}
