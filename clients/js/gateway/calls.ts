/** The requests that are answered with one JSON value. */

import { InvalidWorkflowError } from "../src/errors.js";
import { View } from "../src/contract.js";
import type { Operations } from "../src/operations.js";
import { encode, infoShape, listShape, object, problemShape, reportShape, taskShape } from "./encoding.js";
import type { Exchange } from "./exchange.js";
import { Problem, problemOf } from "./problem.js";
import { Parameters, readBody, type Body } from "./request.js";

/** `POST /api/task/run` */
export async function run(operations: Operations, exchange: Exchange): Promise<void> {
  const body = await readBody(exchange);
  const workflow = readWorkflow(body);
  const request = {
    ...workflow,
    labels: body.strings("labels"),
    requestId: body.name("requestID"),
    displayName: body.name("displayName"),
  };
  body.check();
  try {
    const { taskId } = await operations.run(request, exchange.settings);
    exchange.send(200, encode({ taskID: taskId }));
  } catch (error) {
    if (!(error instanceof InvalidWorkflowError)) {
      throw error;
    }
    // the status of a call has room for the first problems only
    const { errors } = await operations.validate(workflow, exchange.settings);
    const { status, code, message, errors: first } = problemOf(error, exchange.log);
    throw new Problem(status, code, message, errors.length > 0 ? errors : first);
  }
}

/** `POST /api/task/validate` */
export async function validate(operations: Operations, exchange: Exchange): Promise<void> {
  const body = await readBody(exchange);
  const workflow = readWorkflow(body);
  body.check();
  const { valid, errors, problems, warnings } = await operations.validate(workflow, exchange.settings);
  const shape = valid ? { valid } : { valid, errors, problems: problems.map(problemShape) };
  exchange.send(200, encode(warnings.length > 0 ? { ...shape, warnings: warnings.map(problemShape) } : shape));
}

/** `GET /api/task` */
export async function get(operations: Operations, exchange: Exchange): Promise<void> {
  exchange.send(200, encode(taskShape(await operations.get(taskIdOf(exchange), exchange.settings))));
}

/** `GET /api/task/report` */
export async function report(operations: Operations, exchange: Exchange): Promise<void> {
  const received = await operations.report(taskIdOf(exchange), View.FULL, exchange.settings);
  exchange.send(200, encode(reportShape(received)));
}

/** `GET /api/task/result` */
export async function result(operations: Operations, exchange: Exchange): Promise<void> {
  const { outputs } = await operations.result(taskIdOf(exchange), exchange.settings);
  exchange.send(200, encode(object(outputs)));
}

/** `PUT /api/task/cancel` */
export async function cancel(operations: Operations, exchange: Exchange): Promise<void> {
  const body = await readBody(exchange);
  const taskId = body.required("taskID");
  body.check();
  exchange.send(200, encode({ success: await operations.cancel(taskId, "", exchange.settings) }));
}

/** `GET /api/tasks` */
export async function list(operations: Operations, exchange: Exchange): Promise<void> {
  const parameters = new Parameters(exchange.query);
  const request = {
    statuses: parameters.statuses(),
    labels: parameters.labels(),
    pageSize: parameters.pageSize(),
    pageToken: parameters.text("pageToken"),
  };
  parameters.check();
  exchange.send(200, encode(listShape(await operations.list(request, exchange.settings))));
}

/** `GET /api/info` */
export async function info(operations: Operations, exchange: Exchange): Promise<void> {
  exchange.send(200, encode(infoShape(await operations.info(exchange.settings))));
}

/** `GET /healthz` */
export function healthz(_operations: Operations, exchange: Exchange): Promise<void> {
  exchange.send(200, encode({ status: "ok" }));
  return Promise.resolve();
}

function readWorkflow(body: Body): { schema: string; inputs: string } {
  return { schema: body.required("schema"), inputs: body.object("inputs") };
}

function taskIdOf(exchange: Exchange): string {
  const parameters = new Parameters(exchange.query);
  const taskId = parameters.taskId();
  parameters.check();
  return taskId;
}
