/// <reference types="node" preserve="true" />
/**
 * A typed client of the FlowGram runtime.
 *
 *     import { createClient, outputsOf } from "flowgram-client";
 *
 *     const client = createClient({ target: "127.0.0.1:50051" });
 *     const taskId = await client.run(schema, { prompt: "Hi" });
 *     for await (const event of client.watch(taskId)) {
 *       console.log(event);
 *     }
 *     console.log(outputsOf(await client.result(taskId)));
 *     client.close();
 */

export type { BatchRun, BatchRuns } from "./batch.js";
export { Client, createClient } from "./client.js";
export type { BatchOptions, ListOptions, RunOptions, WatchOptions } from "./client.js";
export type { CallSettings, ClientOptions } from "./connection.js";
export * from "./errors.js";
export type { Event, MessageLogged, NodeStatusChanged, OutputDelta, TaskStatusChanged } from "./events.js";
export { parse, stringify } from "./json.js";
export type { JsonObject, JsonSource, JsonValue } from "./json.js";
export type * from "./messages.js";
export { outputsOf } from "./models.js";
export type * from "./models.js";
export { RECONNECT, RETRY } from "./retry.js";
export type { RetryPolicy } from "./retry.js";
export type { Timing } from "./timing.js";
export type { TlsOptions } from "./transport.js";
