/** The requests that are answered with one JSON object. */

import type { DescMessage, MessageShape } from "@bufbuild/protobuf";

import {
  ReportSchema,
  ServerInfoResponseSchema,
  TaskListResponseSchema,
  TaskResultResponseSchema,
  TaskRunResponseSchema,
  TaskValidateResponseSchema,
} from "../src/contract.js";
import type { Operations } from "../src/operations.js";
import { encode } from "./encoding.js";
import type { Exchange } from "./exchange.js";
import { Parameters, readBody } from "./request.js";

/** `POST /tasks` */
export async function run(operations: Operations, exchange: Exchange): Promise<void> {
  const known = ["schema", "inputs", "request_id", "timeout", "labels", "wait"];
  const body = await readBody(exchange.request, known, exchange.maxBodyBytes);
  const timeout = body.duration("timeout");
  const request = {
    schema: body.document("schema"),
    inputs: body.document("inputs"),
    requestId: body.string("request_id"),
    labels: body.strings("labels"),
    ...(timeout && { timeout }),
  };
  if (body.flag("wait")) {
    const settings = { ...exchange.settings, signal: exchange.untilStopping };
    return send(exchange, TaskRunResponseSchema, await operations.runAndWait(request, settings));
  }
  const { taskId } = await operations.run(request, exchange.settings);
  exchange.response.setHeader("Location", `/tasks/${encodeURIComponent(taskId)}`);
  exchange.send(201, JSON.stringify({ task_id: taskId }));
}

/** `GET /tasks` */
export async function list(operations: Operations, exchange: Exchange): Promise<void> {
  const parameters = new Parameters(exchange.query, "status", "label", "page_size", "page_token");
  const request = {
    statuses: parameters.statuses(),
    labels: parameters.labels(),
    pageSize: parameters.pageSize(),
    pageToken: parameters.text("page_token"),
  };
  parameters.check();
  send(exchange, TaskListResponseSchema, await operations.list(request, exchange.settings));
}

/** `GET /tasks/{id}` */
export async function result(operations: Operations, exchange: Exchange): Promise<void> {
  const parameters = new Parameters(exchange.query, "wait");
  const wait = parameters.flag("wait");
  parameters.check();
  const told = wait
    ? await operations.wait(exchange.taskId, { ...exchange.settings, signal: exchange.untilStopping })
    : await operations.result(exchange.taskId, exchange.settings);
  send(exchange, TaskResultResponseSchema, told);
}

/** `GET /tasks/{id}/report` */
export async function report(operations: Operations, exchange: Exchange): Promise<void> {
  const parameters = new Parameters(exchange.query, "view");
  const view = parameters.view();
  parameters.check();
  const told = await operations.report(exchange.taskId, view, exchange.settings);
  exchange.send(200, `{"report":${encode(ReportSchema, told)}}`);
}

/** `POST /tasks/{id}/cancel` */
export async function cancel(operations: Operations, exchange: Exchange): Promise<void> {
  const body = await readBody(exchange.request, ["reason"], exchange.maxBodyBytes, true);
  const success = await operations.cancel(exchange.taskId, body.string("reason"), exchange.settings);
  exchange.send(200, JSON.stringify({ success }));
}

/** `POST /validate` */
export async function validate(operations: Operations, exchange: Exchange): Promise<void> {
  const body = await readBody(exchange.request, ["schema", "inputs"], exchange.maxBodyBytes);
  const request = { schema: body.document("schema"), inputs: body.document("inputs") };
  send(exchange, TaskValidateResponseSchema, await operations.validate(request, exchange.settings));
}

/** `GET /info` */
export async function info(operations: Operations, exchange: Exchange): Promise<void> {
  send(exchange, ServerInfoResponseSchema, await operations.info(exchange.settings));
}

/** `GET /healthz` */
export function healthz(_operations: Operations, exchange: Exchange): Promise<void> {
  exchange.send(200, JSON.stringify({ status: "ok" }));
  return Promise.resolve();
}

function send<Desc extends DescMessage>(exchange: Exchange, schema: Desc, message: MessageShape<Desc>): void {
  exchange.send(200, encode(schema, message));
}
