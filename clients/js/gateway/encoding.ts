/**
 * The messages of the contract in the shapes that FlowGram's editor expects, as JSON in one line.
 *
 * JSON that users wrote is put in as the text that it is, so that its numbers keep every digit. Times are whole
 * milliseconds, since the epoch where they are moments.
 */

import { durationMs, timestampDate, timestampMs, type Duration, type Timestamp } from "@bufbuild/protobuf/wkt";

import {
  Message_Type,
  Status,
  type Message,
  type Report,
  type ServerInfoResponse,
  type Snapshot,
  type StatusInfo,
  type Task,
  type TaskEvent,
  type TaskListResponse,
  type TaskSummary,
  type WatchTasksResponse,
} from "../src/contract.js";
import { compact } from "./documents.js";

/** JSON text that is put in as it is. */
class Document {
  constructor(readonly text: string) {}
}

/** What can be encoded; members that are undefined are left out. */
export type Shape =
  | string
  | number
  | bigint
  | boolean
  | Document
  | readonly Shape[]
  | { readonly [name: string]: Shape | undefined };

/** By FlowGram's word, the status of the contract. */
export const STATUSES: ReadonlyMap<string, Status> = new Map([
  ["pending", Status.PENDING],
  ["processing", Status.PROCESSING],
  ["succeeded", Status.SUCCEEDED],
  ["failed", Status.FAILED],
  ["canceled", Status.CANCELED],
]);

const STATUS_WORDS: ReadonlyMap<Status, string> = new Map([...STATUSES].map(([word, status]) => [status, word]));

const MESSAGE_WORDS: ReadonlyMap<Message_Type, string> = new Map([
  [Message_Type.LOG, "log"],
  [Message_Type.INFO, "info"],
  [Message_Type.DEBUG, "debug"],
  [Message_Type.ERROR, "error"],
  [Message_Type.WARNING, "warning"],
]);

/** The JSON text of a shape. */
export function encode(shape: Shape): string {
  if (shape instanceof Document) {
    return compact(shape.text);
  }
  if (Array.isArray(shape)) {
    return `[${(shape as readonly Shape[]).map(encode).join(",")}]`;
  }
  if (typeof shape === "object") {
    const members = Object.entries(shape).flatMap(([name, value]) =>
      value === undefined ? [] : [`${JSON.stringify(name)}:${encode(value as Shape)}`],
    );
    return `{${members.join(",")}}`;
  }
  return typeof shape === "bigint" ? shape.toString() : JSON.stringify(shape);
}

/** A problem or a warning of a workflow. */
export function problemShape({ field, text }: { readonly field: string; readonly text: string }): Shape {
  return { field, text };
}

/** A JSON object of the contract; no text is an empty one. */
export function object(text: string): Shape {
  return new Document(text === "" ? "{}" : text);
}

function document(text: string): Shape | undefined {
  return text === "" ? undefined : new Document(text);
}

function moment(time: Timestamp | undefined): number {
  return time === undefined ? 0 : Math.floor(timestampMs(time));
}

function length(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Math.floor(durationMs(duration));
}

/** A status and its times. */
export function statusShape(info: StatusInfo | undefined) {
  return {
    status: STATUS_WORDS.get(info?.status ?? Status.UNSPECIFIED) ?? "pending",
    terminated: info?.terminated ?? false,
    startTime: moment(info?.startTime), // 0 until it has started: FlowGram demands a number
    timeCost: length(info?.timeCost),
    endTime: info?.endTime && moment(info.endTime),
  };
}

function outcome({ outputs, branch, error }: Snapshot) {
  return { outputs: document(outputs), branch: branch || undefined, error: error || undefined };
}

/** Something that a task has to say. */
export function messageShape(message: Message): { readonly type: string } & { readonly [name: string]: Shape | undefined } {
  return {
    id: message.id,
    type: MESSAGE_WORDS.get(message.type) ?? "log",
    message: message.text,
    nodeID: message.nodeId || undefined,
    timestamp: moment(message.time),
  };
}

/** The report of a task. */
export function reportShape(report: Report): Shape {
  const messages = report.messages.map(messageShape);
  const reports = report.nodes.map(({ nodeId, status, snapshots }) => [
    nodeId,
    {
      id: nodeId,
      ...statusShape(status),
      snapshots: snapshots.map((snapshot) => ({
        id: snapshot.id,
        nodeID: snapshot.nodeId,
        inputs: object(snapshot.inputs),
        data: object(snapshot.data),
        ...outcome(snapshot),
      })),
    },
  ]);
  return {
    id: report.taskId,
    inputs: object(report.inputs),
    outputs: object(report.outputs),
    workflowStatus: statusShape(report.status),
    reports: Object.fromEntries(reports) as Record<string, Shape>,
    messages: Object.fromEntries(
      [...MESSAGE_WORDS.values()].map((word) => [word, messages.filter(({ type }) => type === word)]),
    ) as Record<string, Shape>,
  };
}

function summaryShape(task: TaskSummary | undefined) {
  return {
    taskID: task?.taskId ?? "",
    workflowStatus: statusShape(task?.status),
    createTime: moment(task?.createTime),
    labels: task?.labels ?? {},
    lastSequence: task?.lastSequence ?? 0n,
    displayName: task?.displayName || undefined,
    namespace: task?.namespace || undefined,
  };
}

/** A task, without its events and outcome. */
export function taskShape(task: Task): Shape {
  return {
    ...summaryShape(task.summary),
    schema: task.schema,
    inputs: object(task.inputs),
    timeout: task.timeout && length(task.timeout),
  };
}

/** One page of tasks. */
export function listShape({ tasks, nextPageToken }: TaskListResponse): Shape {
  return { tasks: tasks.map(summaryShape), nextPageToken: nextPageToken || undefined };
}

/** What a server says of itself. */
export function infoShape(info: ServerInfoResponse): Shape {
  return {
    name: info.name,
    title: info.title,
    description: info.description,
    runtime: info.runtime,
    version: info.version,
    time: (info.time === undefined ? new Date(0) : timestampDate(info.time)).toISOString(),
    nodeTypes: info.nodeTypes,
    features: info.features,
    limits: {
      maxMessageBytes: info.limits?.maxMessageBytes ?? 0n,
      maxSchemaBytes: info.limits?.maxSchemaBytes ?? 0n,
      maxInputsBytes: info.limits?.maxInputsBytes ?? 0n,
    },
    ...(info.caller && { caller: callerShape(info.caller) }),
  };
}

/** Who calls. */
export function callerShape({ name, namespace, role }: { name: string; namespace: string; role: string }): Shape {
  return { name, namespace, role };
}

/** Something that happened in a task; undefined for a kind that came after this version. */
export function eventShape({ event, sequence, time }: TaskEvent): Shape | undefined {
  const head = (type: string) => ({ type, sequence: sequence || undefined, timestamp: moment(time) });
  switch (event.case) {
    case "taskStatusChanged": {
      const { status, outputs } = event.value;
      return { ...head("task_status_changed"), workflowStatus: statusShape(status), outputs: document(outputs) };
    }
    case "nodeStatusChanged": {
      const { nodeId, status, snapshot } = event.value;
      return {
        ...head("node_status_changed"),
        nodeID: nodeId,
        nodeStatus: statusShape(status),
        snapshot: snapshot && snapshotEventShape(snapshot),
      };
    }
    case "message":
      return { ...head("message"), message: messageShape(event.value) };
    case "outputDelta": {
      const { nodeId, snapshotId, text, fromStart } = event.value;
      return { ...head("output_delta"), nodeID: nodeId, snapshotID: snapshotId, text, fromStart: fromStart || undefined };
    }
    default:
      return undefined;
  }
}

/** What an event tells of one run of a node: the one that ends it repeats nothing. */
function snapshotEventShape(snapshot: Snapshot): Shape {
  const iterations = snapshot.iterations.map(({ loopNodeId, index }) => ({ loopNodeID: loopNodeId, index }));
  return {
    id: snapshot.id,
    nodeID: snapshot.nodeId,
    iterations: iterations.length > 0 ? iterations : undefined,
    inputs: document(snapshot.inputs),
    ...outcome(snapshot),
  };
}

/** Tasks that changed, and ids of those that were removed. */
export function changeShape({ tasks, removedTaskIds }: WatchTasksResponse): Shape {
  return { type: "tasks_changed", tasks: tasks.map(summaryShape), removedTaskIDs: removedTaskIds };
}
