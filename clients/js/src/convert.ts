/** Messages of the contract to values of this package. */

import { create } from "@bufbuild/protobuf";
import { durationMs, timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";

import type { Event } from "./events.js";
import type { TaskEvent } from "./gen/flowgram/runtime/v1/event_pb.js";
import * as report_pb from "./gen/flowgram/runtime/v1/report_pb.js";
import type * as service_pb from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
import { fromText } from "./json.js";
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
export function snapshot(told: report_pb.Snapshot): models.Snapshot {
  return {
    id: told.id,
    nodeId: told.nodeId,
    iterations: told.iterations.map(({ loopNodeId, index }) => ({ loopNodeId, index })),
    inputs: fromText(told.inputs),
    inputsText: told.inputs,
    outputs: fromText(told.outputs),
    outputsText: told.outputs,
    data: fromText(told.data),
    dataText: told.data,
    branch: told.branch,
    error: told.error,
  };
}

/** What a check found. A server that does not tell the places of problems has their texts. */
export function validation(told: service_pb.TaskValidateResponse): models.Validation {
  const violations = told.problems.map(violation);
  if (!told.valid && violations.length === 0) {
    const texts = told.errors.length > 0 ? told.errors : ["not valid"];
    violations.push(...texts.map((description) => ({ field: "", description })));
  }
  return { valid: told.valid, violations, warnings: told.warnings.map(violation) };
}

function violation({ field, text }: service_pb.Problem): { field: string; description: string } {
  return { field, description: text };
}

/** A message of a task. */
export function message(told: report_pb.Message): models.TaskMessage {
  return {
    id: told.id,
    type: MESSAGE_TYPES[told.type] ?? "unspecified",
    text: told.text,
    nodeId: told.nodeId,
    time: date(told.time),
  };
}

/** Everything about a task. */
export function report(told: report_pb.Report): models.Report {
  return {
    taskId: told.taskId,
    ...statusInfo(told.status),
    inputs: fromText(told.inputs),
    inputsText: told.inputs,
    outputs: fromText(told.outputs),
    outputsText: told.outputs,
    nodes: new Map(told.nodes.map((node) => [node.nodeId, nodeReport(node)])),
    messages: told.messages.map(message),
    lastSequence: Number(told.lastSequence),
  };
}

function nodeReport(told: report_pb.NodeReport): models.NodeReport {
  return { nodeId: told.nodeId, ...statusInfo(told.status), snapshots: told.snapshots.map(snapshot) };
}

/** The outcome of a task, as both responses tell it. */
export function result(
  taskId: string,
  told: service_pb.TaskRunResponse | service_pb.TaskResultResponse,
): models.Result {
  return {
    taskId,
    ...statusInfo(told.status),
    outputs: fromText(told.outputs),
    outputsText: told.outputs,
    errors: told.errors.map(message),
  };
}

/** A line of a list. */
export function summary(told: report_pb.TaskSummary): models.TaskSummary {
  return {
    taskId: told.taskId,
    ...statusInfo(told.status),
    createTime: date(told.createTime),
    labels: { ...told.labels },
    displayName: told.displayName,
    namespace: told.namespace,
    lastSequence: Number(told.lastSequence),
  };
}

/** A task without its events. */
export function task(told: report_pb.Task): models.Task {
  return {
    ...summary(told.summary ?? create(report_pb.TaskSummarySchema)),
    schema: fromText(told.schema),
    schemaText: told.schema,
    inputs: fromText(told.inputs),
    inputsText: told.inputs,
    timeoutMs: told.timeout && durationMs(told.timeout),
  };
}

/** What a watch of tasks tells; undefined: it is live. */
export function tasksChange(told: service_pb.WatchTasksResponse | undefined): models.TasksChange {
  return told === undefined
    ? { kind: "live" }
    : { kind: "tasksChanged", tasks: told.tasks.map(summary), removedTaskIds: told.removedTaskIds };
}

/** What a server says of itself. */
export function info(told: service_pb.ServerInfoResponse): models.ServerInfo {
  const { name, title, description, runtime, version, nodeTypes } = told;
  const limits = {
    maxMessageBytes: Number(told.limits?.maxMessageBytes ?? 0),
    maxSchemaBytes: Number(told.limits?.maxSchemaBytes ?? 0),
    maxInputsBytes: Number(told.limits?.maxInputsBytes ?? 0),
  };
  const lists = { nodeTypes: [...nodeTypes], features: [...told.features] };
  const caller = told.caller && {
    name: told.caller.name,
    namespace: told.caller.namespace,
    role: told.caller.role,
  };
  return { name, title, description, runtime, version, time: date(told.time), ...lists, limits, caller };
}

/** An event; undefined for a kind that came after this version of the package. */
export function event(told: TaskEvent): Event | undefined {
  const sequence = Number(told.sequence);
  const time = date(told.time) ?? EPOCH;
  switch (told.event.case) {
    case "taskStatusChanged": {
      const { status, outputs } = told.event.value;
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
      const { nodeId, status, snapshot: run } = told.event.value;
      if (run === undefined) {
        return undefined;
      }
      return { kind: "nodeStatusChanged", sequence, time, nodeId, ...statusInfo(status), snapshot: snapshot(run) };
    }
    case "message":
      return { kind: "message", sequence, time, message: message(told.event.value) };
    case "outputDelta": {
      const { nodeId, snapshotId, text, fromStart } = told.event.value;
      return { kind: "outputDelta", sequence: 0, time, nodeId, snapshotId, text, fromStart };
    }
    case undefined:
      return undefined;
  }
}

function date(time: Timestamp | undefined): Date | undefined {
  return time && timestampDate(time);
}
