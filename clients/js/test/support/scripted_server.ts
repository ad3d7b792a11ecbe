/** A real gRPC server on a port of its own, whose answers a test writes down beforehand. */

import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import {
  Status,
  TaskEventSchema,
  WatchTaskResponseSchema,
  WorkflowRuntimeService,
  type TaskEvent,
  type WatchTaskRequest,
  type WatchTaskResponse,
} from "../../src/contract.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.js";

/** Something that happens once, and that a test waits for. */
export class Signal {
  readonly promise: Promise<void>;
  set: () => void = () => undefined;

  constructor() {
    this.promise = new Promise((resolve) => (this.set = resolve));
  }
}

/** What one call of WatchTask does: a response is sent, an error ends it, a function is called and waited for. */
export type Step = WatchTaskResponse | ConnectError | ((context: HandlerContext) => Promise<void> | void);

/** Waits until the client has left. */
export const hang = (context: HandlerContext) =>
  new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve()));

type Methods = Partial<ServiceImpl<typeof WorkflowRuntimeService>>;

/** A server that does what `methods` say, and whose watches follow `watches`, one call after the other. */
export class ScriptedServer {
  readonly watches: Step[][] = [];
  readonly watchRequests: WatchTaskRequest[] = [];
  /** The headers of every call. */
  readonly headers: Headers[] = [];
  /** A client has left a watch before its script ended. */
  readonly left = new Signal();
  port = 0;
  private server: http2.Http2Server | undefined;
  private readonly sessions = new Set<http2.ServerHttp2Session>();

  constructor(private readonly methods: Methods = {}) {}

  get target(): string {
    return `127.0.0.1:${this.port}`;
  }

  async start(): Promise<this> {
    const handler = connectNodeAdapter({
      routes: (router) => {
        const watchTask = (request: WatchTaskRequest, context: HandlerContext) => this.watch(request, context);
        router.service(WorkflowRuntimeService, { watchTask, ...this.methods });
      },
    });
    this.server = http2.createServer((request, response) => {
      this.headers.push(
        new Headers(Object.entries(request.headers).flatMap(([k, v]) => (k.startsWith(":") ? [] : [[k, String(v)]]))),
      );
      handler(request, response);
    });
    this.server.on("session", (session) => {
      this.sessions.add(session);
      session.on("error", () => undefined);
      session.on("close", () => this.sessions.delete(session));
    });
    await new Promise<void>((resolve) => this.server?.listen(this.port, "127.0.0.1", resolve));
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  /** Cut every connection, as the death of the process does. */
  cut(): void {
    for (const session of this.sessions) {
      session.destroy();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server?.close(resolve));
  }

  private async *watch(request: WatchTaskRequest, context: HandlerContext): AsyncGenerator<WatchTaskResponse> {
    this.watchRequests.push(request);
    const steps = this.watches.shift() ?? [new ConnectError("no script", Code.Unimplemented)];
    for (const step of steps) {
      if (step instanceof ConnectError) {
        throw step;
      }
      if (typeof step === "function") {
        await step(context);
        if (context.signal.aborted) {
          this.left.set();
          return;
        }
      } else {
        yield step;
      }
    }
  }
}

/** A status other than OK, with the details that the service sends. */
export function refusal(
  code: Code,
  details: { reason?: string; metadata?: Record<string, string>; retryMs?: number; violations?: { field: string; description: string }[] } = {},
): ConnectError {
  const error = new ConnectError("refused", code);
  if (details.reason !== undefined) {
    const value = { reason: details.reason, domain: "flowgram.runtime", metadata: details.metadata ?? { task_id: "t" } };
    error.details.push({ desc: ErrorInfoSchema, value });
  }
  if (details.violations !== undefined) {
    error.details.push({ desc: BadRequestSchema, value: { fieldViolations: details.violations } });
  }
  if (details.retryMs !== undefined) {
    error.details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(details.retryMs) } });
  }
  return error;
}

/** A response with these events; none: a heartbeat. */
export function watched(...events: TaskEvent[]): WatchTaskResponse {
  return create(WatchTaskResponseSchema, { events });
}

/** An event. */
export function event(sequence: number, what: MessageInitShape<typeof TaskEventSchema>["event"]): TaskEvent {
  const time = timestampFromMs(1_700_000_000_000 + sequence);
  return create(TaskEventSchema, { sequence: BigInt(sequence), time, event: what ?? { case: undefined } });
}

/** The task or a node has said something. */
export function said(sequence: number, text = `step ${sequence}`): TaskEvent {
  return event(sequence, { case: "message", value: { id: `m${sequence}`, type: 2, text } });
}

/** A piece of a model's text. */
export function delta(text: string): TaskEvent {
  return event(0, { case: "outputDelta", value: { nodeId: "llm_0", snapshotId: "llm_0", text } });
}

/** The task has succeeded. */
export function succeeded(sequence: number, outputs = '{"a":1}'): TaskEvent {
  const status = { status: Status.SUCCEEDED, terminated: true };
  return event(sequence, { case: "taskStatusChanged", value: { status, outputs } });
}
