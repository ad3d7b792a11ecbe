/** One request and its response, with what every handler needs to know of them. */

import type { IncomingMessage, ServerResponse } from "node:http";

import type { CallSettings } from "../src/connection.js";
import { LinkedController } from "../src/timing.js";
import type { ByteBudget } from "./byte_budget.js";
import type { Problem } from "./problem.js";

/** Bounds of one body. */
export interface BodyLimits {
  readonly maxBytes: number;
  /** Milliseconds in which some of it must come. */
  readonly readTimeoutMs: number;
  /** So many must come on average, once the first `readTimeoutMs` have passed. */
  readonly minBytesPerSecond: number;
}

/** One request and its response. */
export class Exchange {
  /** For calls to the server: what the client sent for it, and a signal that is aborted when the client leaves. */
  readonly settings: CallSettings;
  /** Aborted when the client leaves, and when the gateway stops: for what may last. */
  readonly untilStopping: AbortSignal;
  private readonly controllers: readonly LinkedController[];

  constructor(
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
    /** As it came, without the question mark. */
    readonly query: string,
    /** What all bodies together may hold. */
    readonly bodies: ByteBudget,
    readonly bodyLimits: BodyLimits,
    forward: readonly string[],
    /** The credential of the session that the request belongs to, which counts where the request has none itself. */
    session: string | undefined,
    readonly stopping: AbortSignal,
    /** Is notified of what goes wrong and is not for clients. */
    readonly log: (text: string, error: unknown) => void,
  ) {
    const left = new LinkedController();
    const either = new LinkedController(left.signal, stopping);
    response.once("close", () => left.abort());
    response.on("error", () => undefined); // "close" says that a client has left
    this.controllers = [left, either];
    this.settings = { signal: left.signal, metadata: forwarded(request, forward, session) };
    this.untilStopping = either.signal;
  }

  /** Whether the client has left before it was answered. */
  get left(): boolean {
    return this.response.destroyed && !this.response.writableFinished;
  }

  /** Answer with JSON. */
  send(status: number, json: string): void {
    if (this.stopping.aborted) {
      this.response.setHeader("Connection", "close");
    }
    const body = Buffer.from(json);
    this.response.writeHead(status, { "Content-Type": "application/json", "Content-Length": body.length });
    this.response.end(body);
  }

  /**
   * Resolves when the client has read so much that there is room for more, has left, or `signal` is aborted. A client that
   * does not read keeps its connection for so many milliseconds, and no longer.
   */
  drained(timeoutMs: number, signal: AbortSignal | undefined = this.settings.signal): Promise<void> {
    const { response } = this;
    return new Promise((resolve) => {
      const proceed = () => {
        clearTimeout(timer);
        response.off("drain", proceed).off("close", proceed);
        signal?.removeEventListener("abort", proceed);
        resolve();
      };
      const timer = setTimeout(() => response.destroy(), timeoutMs);
      response.once("drain", proceed).once("close", proceed);
      signal?.addEventListener("abort", proceed);
    });
  }

  /** Answer that the request has a problem. */
  refuse(problem: Problem): void {
    if (problem.retryAfterMs !== undefined) {
      this.response.setHeader("Retry-After", Math.ceil(problem.retryAfterMs / 1000));
    }
    if (problem.challenge !== undefined) {
      this.response.setHeader("WWW-Authenticate", problem.challenge);
    }
    this.response.setHeader("Cache-Control", "no-store");
    if (!this.request.complete) {
      this.response.setHeader("Connection", "close"); // the rest of the body is not read
    }
    this.send(problem.status, problem.body());
  }

  /** Forget the signals of others. */
  release(): void {
    for (const controller of this.controllers) {
      controller.release();
    }
  }
}

function forwarded(
  request: IncomingMessage,
  names: readonly string[],
  session: string | undefined,
): Record<string, string> {
  const found = names.flatMap((name) => {
    // Several of a name arrive as one that is none, such as two keys: which of them counts nobody could say.
    const value = request.headersDistinct[name.toLowerCase()]?.join(", ");
    // gRPC refuses a call with any other
    return value !== undefined && /^[ -~]*$/.test(value) ? [[name.toLowerCase(), value] as const] : [];
  });
  const own = request.headers.authorization === undefined && session !== undefined ? { authorization: session } : {};
  return { ...Object.fromEntries(found), ...own };
}
