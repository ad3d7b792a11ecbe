/**
 * A gateway for browsers: a client of the runtime that holds no state, and forwards the events of tasks as Server-Sent
 * Events. docs/clients/gateway.md describes what it serves.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import type { ClientOptions } from "../src/connection.js";
import { Operations } from "../src/operations.js";
import * as calls from "./calls.js";
import { Cors } from "./cors.js";
import { events } from "./events.js";
import { Exchange } from "./exchange.js";
import { Problem, problemOf, stopping } from "./problem.js";

/** What a gateway takes: how it reaches its server, as any client does, and how it serves. */
export interface GatewayOptions extends ClientOptions {
  /** Origins whose pages may use it; "*" stands for all. Default: none but the gateway's own. */
  readonly origins?: readonly string[];
  /** Headers that are sent on to the server, as metadata. Default: none. */
  readonly forward?: readonly string[];
  /** Milliseconds after which a silent event stream sends a comment. Default: 15,000. */
  readonly heartbeatMs?: number;
  /** Milliseconds that a stream may wait for its first event before it is answered. Default: 200. */
  readonly openDelayMs?: number;
  /** Bytes of the body of a request. Default: 64 MiB. */
  readonly maxBodyBytes?: number;
  /** Is told what goes wrong and is not for clients. Default: the standard error stream. */
  readonly log?: (text: string, error: unknown) => void;
}

type Handler = (operations: Operations, exchange: Exchange) => Promise<void>;
type Methods = Readonly<Record<string, Handler>>;

// A stream whose server is away is kept for about four minutes: a browser whose stream has failed comes back only if
// the gateway can answer it well.
const RECONNECT_ATTEMPTS = 60;
const HEADERS_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 120_000;
const DRAIN_INTERVAL_MS = 50;

/** A gateway; `listen` begins to serve. */
export function createGateway(options: GatewayOptions = {}): Gateway {
  return new Gateway(options);
}

/** A gateway to one server. */
export class Gateway {
  private readonly operations: Operations;
  private readonly cors: Cors;
  private readonly server: Server;
  private readonly stopping = new AbortController();
  private readonly forward: readonly string[];
  private readonly maxBodyBytes: number;
  private readonly log: (text: string, error: unknown) => void;
  private readonly routes: readonly (readonly [RegExp, Methods])[];

  constructor(options: GatewayOptions = {}) {
    this.operations = new Operations({ ...options, reconnect: { attempts: RECONNECT_ATTEMPTS, ...options.reconnect } });
    this.forward = options.forward ?? [];
    this.cors = new Cors(options.origins ?? [], this.forward);
    this.maxBodyBytes = options.maxBodyBytes ?? 64 * 1024 * 1024;
    this.log = options.log ?? ((text, error) => console.error(text, error));
    const streams = { heartbeatMs: options.heartbeatMs ?? 15_000, openDelayMs: options.openDelayMs ?? 200 };
    const watch: Handler = (operations, exchange) =>
      events(operations, exchange, streams, (thrown) => problemOf(thrown, this.log));
    this.routes = [
      [/^\/tasks$/, { POST: calls.run, GET: calls.list }],
      [/^\/tasks\/([^/]+)$/, { GET: calls.result }],
      [/^\/tasks\/([^/]+)\/report$/, { GET: calls.report }],
      [/^\/tasks\/([^/]+)\/events$/, { GET: watch }],
      [/^\/tasks\/([^/]+)\/cancel$/, { POST: calls.cancel }],
      [/^\/validate$/, { POST: calls.validate }],
      [/^\/info$/, { GET: calls.info }],
      [/^\/healthz$/, { GET: calls.healthz }],
    ];
    this.server = createServer((request, response) => void this.answer(request, response));
    this.server.headersTimeout = HEADERS_TIMEOUT_MS;
    this.server.keepAliveTimeout = IDLE_TIMEOUT_MS;
  }

  /** Serve; the URL where. Port 0 takes any that is free. */
  async listen(port: number, host = "127.0.0.1"): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, host, () => {
        this.server.off("error", reject);
        resolve();
      });
    });
    const { address, family, port: taken } = this.server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${taken}`;
  }

  /**
   * Stop: event streams and waits end at once (browsers come back to another gateway, or to this one when it is started
   * again), other requests have `graceMs` milliseconds to end. Whether they did.
   */
  async stop(graceMs = 10_000): Promise<boolean> {
    this.stopping.abort();
    let drained = true;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    const idle = setInterval(() => this.server.closeIdleConnections(), DRAIN_INTERVAL_MS);
    const cut = setTimeout(() => {
      drained = false;
      this.server.closeAllConnections();
    }, graceMs);
    await closed;
    clearInterval(idle);
    clearTimeout(cut);
    this.operations.close();
    return drained;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("Cache-Control", "no-store");
    if (this.cors.allow(request, response)) {
      response.writeHead(204).end();
      return;
    }
    const [path = "", ...query] = (request.url ?? "").split("?");
    const { methods, taskId } = this.route(path);
    const { maxBodyBytes, forward } = this;
    const signal = this.stopping.signal;
    const exchange = new Exchange(request, response, query.join("?"), taskId, maxBodyBytes, forward, signal);
    try {
      await this.dispatch(methods, exchange);
    } catch (thrown) {
      if (exchange.left) {
        return;
      }
      if (response.headersSent) {
        response.destroy(); // too late to say why
        return;
      }
      const own = signal.aborted && thrown === exchange.untilStopping.reason;
      exchange.refuse(own ? stopping() : problemOf(thrown, this.log));
    } finally {
      exchange.release();
    }
  }

  private route(path: string): { methods: Methods | undefined; taskId: string } {
    for (const [pattern, methods] of this.routes) {
      const match = pattern.exec(path);
      if (match !== null) {
        const taskId = decode(match[1] ?? "");
        return { methods: taskId === undefined ? undefined : methods, taskId: taskId ?? "" };
      }
    }
    return { methods: undefined, taskId: "" };
  }

  private async dispatch(methods: Methods | undefined, exchange: Exchange): Promise<void> {
    if (methods === undefined) {
      throw new Problem(404, "NOT_FOUND", "there is nothing here");
    }
    const { method = "" } = exchange.request;
    const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
    if (handler === undefined) {
      exchange.response.setHeader("Allow", Object.keys(methods).join(", "));
      throw new Problem(405, "METHOD_NOT_ALLOWED", "the path has no such method");
    }
    await handler(this.operations, exchange);
  }
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
