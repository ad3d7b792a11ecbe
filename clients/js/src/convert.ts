/** Messages of the contract to values of this package. */

import { create } from "@bufbuild/protobuf";
import { durationMs, timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";

import type { Event } from "./events.js";
import type { TaskEvent } from "./gen/flowgram/runtime/v1/event_pb.js";
import * as report_pb from "./gen/flowgram/runtime/v1/report_pb.js";
import type * as service_pb from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
import { fromText } from "./json.js";
import type { TaskMessage } from "./messages.js";
import type * as models from "./models.js";

const STATUSES = ["unspecified", "pending", "processing", "succeeded", "failed", "canceled"] as const;
const MESSAGE_TYPES = ["unspecified", "log", "info", "debug", "warning", "error"] as const;
const EPOCH = new Date(0);

/** The number of a status in the contract. */
export function statusNumber(status: models.Status): report_pb.Status {
  return STATUSES.indexOf(status);
}

/** A status and its times. */
export function statusInfo(info: report_pb.StatusInfo | undefined): models.StatusInfo {
  return {
    status: STATUSES[info?.status ?? 0] ?? "unspecified",
    terminated: info?.terminated ?? false,
    startTime: date(info?.startTime),
    endTime: date(info?.endTime),
    timeCostMs: info?.timeCost && durationMs(info.timeCost),
  };
}

/** A run of a node. */
export function snapshot(received: report_pb.Snapshot): models.Snapshot {
  return {
    id: received.id,
    nodeId: received.nodeId,
    iterations: received.iterations.map(({ loopNodeId, index }) => ({ loopNodeId, index })),
    inputs: fromText(received.inputs),
    inputsText: received.inputs,
    outputs: fromText(received.outputs),
    outputsText: received.outputs,
    data: fromText(received.data),
    dataText: received.data,
    branch: received.branch,
    error: received.error,
  };
}

/** What a check found. Of a server that does not send the fields of problems: their texts. */
export function validation(received: service_pb.TaskValidateResponse): models.Validation {
  const violations = received.problems.map(violation);
  if (!received.valid && violations.length === 0) {
    const texts = received.errors.length > 0 ? received.errors : ["not valid"];
    violations.push(...texts.map((description) => ({ field: "", description })));
  }
  return { valid: received.valid, violations, warnings: received.warnings.map(violation) };
}

function violation({ field, text }: service_pb.Problem): { field: string; description: string } {
  return { field, description: text };
}

/** A message of a task. */
export function message(received: report_pb.Message): TaskMessage {
  return {
    id: received.id,
    type: MESSAGE_TYPES[received.type] ?? "unspecified",
    text: received.text,
    nodeId: received.nodeId,
    time: date(received.time),
  };
}

/** Everything about a task. */
export function report(received: report_pb.Report): models.Report {
  return {
    taskId: received.taskId,
    ...statusInfo(received.status),
    inputs: fromText(received.inputs),
    inputsText: received.inputs,
    outputs: fromText(received.outputs),
    outputsText: received.outputs,
    nodes: new Map(received.nodes.map((node) => [node.nodeId, nodeReport(node)])),
    messages: received.messages.map(message),
    lastSequence: Number(received.lastSequence),
  };
}

function nodeReport(received: report_pb.NodeReport): models.NodeReport {
  return { nodeId: received.nodeId, ...statusInfo(received.status), snapshots: received.snapshots.map(snapshot) };
}

/** The outcome of a task, as both responses tell it. */
export function result(
  taskId: string,
  received: service_pb.TaskRunResponse | service_pb.TaskResultResponse,
): models.Result {
  return {
    taskId,
    ...statusInfo(received.status),
    outputs: fromText(received.outputs),
    outputsText: received.outputs,
    errors: received.errors.map(message),
  };
}

/** A line of a list. */
export function summary(received: report_pb.TaskSummary): models.TaskSummary {
  return {
    taskId: received.taskId,
    ...statusInfo(received.status),
    createTime: date(received.createTime),
    labels: { ...received.labels },
    displayName: received.displayName,
    namespace: received.namespace,
    lastSequence: Number(received.lastSequence),
  };
}

/** A task without its events. */
export function task(received: report_pb.Task): models.Task {
  return {
    ...summary(received.summary ?? create(report_pb.TaskSummarySchema)),
    schema: fromText(received.schema),
    schemaText: received.schema,
    inputs: fromText(received.inputs),
    inputsText: received.inputs,
    timeoutMs: received.timeout && durationMs(received.timeout),
  };
}

/** What a watch of tasks tells; undefined: it is live. */
export function tasksChange(received: service_pb.WatchTasksResponse | undefined): models.TasksChange {
  return received === undefined
    ? { kind: "live" }
    : { kind: "tasksChanged", tasks: received.tasks.map(summary), removedTaskIds: received.removedTaskIds };
}

/** What a server says of itself. */
export function info(received: service_pb.ServerInfoResponse): models.ServerInfo {
  const { name, title, description, runtime, version, nodeTypes } = received;
  const limits = {
    maxMessageBytes: Number(received.limits?.maxMessageBytes ?? 0),
    maxSchemaBytes: Number(received.limits?.maxSchemaBytes ?? 0),
    maxInputsBytes: Number(received.limits?.maxInputsBytes ?? 0),
  };
  const lists = { nodeTypes: [...nodeTypes], features: [...received.features] };
  const caller = received.caller && {
    name: received.caller.name,
    namespace: received.caller.namespace,
    role: received.caller.role,
  };
  return { name, title, description, runtime, version, time: date(received.time), ...lists, limits, caller };
}

/** An event; undefined for a kind that came after this version of the package. */
export function event(received: TaskEvent): Event | undefined {
  const sequence = Number(received.sequence);
  const time = date(received.time) ?? EPOCH;
  switch (received.event.case) {
    case "taskStatusChanged": {
      const { status, outputs } = received.event.value;
      return {
        kind: "taskStatusChanged",
        sequence,
        time,
        ...statusInfo(status),
        outputs: fromText(outputs),
        outputsText: outputs,
      };
    }
    case "nodeStatusChanged": {
      const { nodeId, status, snapshot: run } = received.event.value;
      if (run === undefined) {
        return undefined;
      }
      return { kind: "nodeStatusChanged", sequence, time, nodeId, ...statusInfo(status), snapshot: snapshot(run) };
    }
    case "message":
      return { kind: "message", sequence, time, message: message(received.event.value) };
    case "outputDelta": {
      const { nodeId, snapshotId, text, fromStart } = received.event.value;
      return { kind: "outputDelta", sequence: 0, time, nodeId, snapshotId, text, fromStart };
    }
    case undefined:
      return undefined;
  }
}

function date(time: Timestamp | undefined): Date | undefined {
  return time && timestampDate(time);
}
