/**
 * A gateway for browsers: a client of the runtime that holds no state, speaks the API of FlowGram's editor, and forwards
 * events as Server-Sent Events. docs/rest.md describes the API.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createEncryptedServer, type Server as EncryptedServer } from "node:https";
import type { AddressInfo } from "node:net";

import type { ClientOptions } from "../src/connection.js";
import { Operations } from "../src/operations.js";
import * as calls from "./calls.js";
import { Hosts, Origins } from "./access.js";
import { AuditLog, isRefusal, peerOf, shownRequest } from "./audit.js";
import { batch } from "./batch.js";
import { type CertificateFiles, keepPair, MIN_VERSION, readPair } from "./certificates.js";
import { watch, watchTasks } from "./events.js";
import { ByteBudget } from "./byte_budget.js";
import { Exchange, type BodyLimits } from "./exchange.js";
import { Problem, problemOf } from "./problem.js";
import { Sessions } from "./sessions.js";

/** What a gateway takes: how it reaches its server, as any client does, and how it serves. */
export interface GatewayOptions extends ClientOptions {
  /** Origins whose pages may use it; "*" stands for all, "loopback" for those on this machine. Default: none but the
   * gateway's own. */
  readonly origins?: readonly string[];
  /** Names in a Host header that are answered, beside those of this machine; "*" stands for all. */
  readonly allowedHosts?: readonly string[];
  /** Headers that are sent on to the server, as metadata. Default: none. */
  readonly forward?: readonly string[];
  /** Milliseconds after which a silent event stream sends a comment. Default: 15,000. */
  readonly heartbeatMs?: number;
  /** Milliseconds that a stream may wait for its first event before it is answered. Default: 1000. */
  readonly openDelayMs?: number;
  /** Bytes of the body of a request. Default: 48 MiB. */
  readonly maxBodyBytes?: number;
  /** Bytes of all bodies that are read at once. Default: 256 MiB. */
  readonly maxBodiesBytes?: number;
  /** Milliseconds for which a body may pause; after the first of them 8 KiB per second must come. Default: 10,000. */
  readonly readTimeoutMs?: number;
  /** Milliseconds for which a client of a stream may read nothing while something waits for it. Default: 60,000. */
  readonly writeTimeoutMs?: number;
  /** Connections at once; those beyond are closed. Default: 1000. */
  readonly maxConnections?: number;
  /** The gateway's own certificate, read again when it changes. Default: nothing is encrypted. */
  readonly certificate?: CertificateFiles;
  /** The file that gets a line of JSON for each request that the gateway itself refuses; "-": standard output. Default: none. */
  readonly auditLog?: string;
  /** Is notified of what goes wrong and is not for clients. Default: the standard error stream. */
  readonly log?: (text: string, error: unknown) => void;
}

type Handler = (operations: Operations, exchange: Exchange) => Promise<void>;
type Methods = Readonly<Record<string, Handler>>;

// A stream whose server is away is kept for about four minutes: a browser whose stream has failed comes back only if
// the gateway can answer it well.
const RECONNECT_ATTEMPTS = 60;
const HEADERS_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 30_000;
const MIN_BYTES_PER_SECOND = 8192;
const DRAIN_INTERVAL_MS = 50;

/** A gateway; `listen` begins to serve. */
export function createGateway(options: GatewayOptions = {}): Gateway {
  return new Gateway(options);
}

/** A gateway to one server. */
export class Gateway {
  private readonly operations: Operations;
  private readonly origins: Origins;
  private readonly hosts: Hosts;
  private readonly server: Server;
  private readonly stopping = new AbortController();
  private readonly forward: readonly string[];
  private readonly bodies: ByteBudget;
  private readonly bodyLimits: BodyLimits;
  private readonly sessions = new Sessions();
  private readonly audit: AuditLog | undefined;
  private readonly certificate: CertificateFiles | undefined;
  private endKeeping: () => void = () => undefined;
  private readonly log: (text: string, error: unknown) => void;
  private readonly routes: ReadonlyMap<string, Methods>;

  constructor(options: GatewayOptions = {}) {
    this.operations = new Operations({ ...options, reconnect: { attempts: RECONNECT_ATTEMPTS, ...options.reconnect } });
    this.forward = options.forward ?? [];
    this.origins = new Origins(options.origins ?? [], this.forward);
    this.hosts = new Hosts(options.allowedHosts ?? []);
    this.bodies = new ByteBudget(options.maxBodiesBytes ?? 256 * 1024 * 1024);
    this.bodyLimits = {
      maxBytes: options.maxBodyBytes ?? 48 * 1024 * 1024,
      readTimeoutMs: options.readTimeoutMs ?? 10_000,
      minBytesPerSecond: MIN_BYTES_PER_SECOND,
    };
    this.log = options.log ?? ((text, error) => console.error(text, error));
    const streams = {
      heartbeatMs: options.heartbeatMs ?? 15_000,
      openDelayMs: options.openDelayMs ?? 1000,
      writeTimeoutMs: options.writeTimeoutMs ?? 60_000,
      describe: (thrown: unknown) => problemOf(thrown, this.log),
    };
    this.routes = new Map<string, Methods>([
      ["/api/task/run", { POST: calls.run }],
      ["/api/task/validate", { POST: calls.validate }],
      ["/api/task", { GET: calls.get }],
      ["/api/task/report", { GET: calls.report }],
      ["/api/task/result", { GET: calls.result }],
      ["/api/task/cancel", { PUT: calls.cancel }],
      ["/api/task/watch", { GET: (operations, exchange) => watch(operations, exchange, streams) }],
      ["/api/tasks", { GET: calls.list }],
      ["/api/tasks/watch", { GET: (operations, exchange) => watchTasks(operations, exchange, streams) }],
      ["/api/tasks/batch", { POST: (operations, exchange) => batch(operations, exchange, streams.writeTimeoutMs) }],
      ["/api/info", { GET: calls.info }],
      [
        "/api/session",
        {
          POST: (operations, exchange) => this.sessions.signIn(operations, exchange),
          GET: (operations, exchange) => this.sessions.show(operations, exchange),
          DELETE: (operations, exchange) => this.sessions.signOut(operations, exchange),
        },
      ],
      ["/healthz", { GET: calls.healthz }],
    ]);
    const { certificate, auditLog } = options;
    this.audit = auditLog === undefined ? undefined : new AuditLog(auditLog, this.log);
    this.certificate = certificate;
    const answer = (request: IncomingMessage, response: ServerResponse) => void this.answer(request, response);
    if (certificate === undefined) {
      this.server = createServer(answer);
    } else {
      const tls = { ...readPair(certificate), minVersion: MIN_VERSION, handshakeTimeout: HEADERS_TIMEOUT_MS } as const;
      this.server = createEncryptedServer(tls, answer);
    }
    this.server.headersTimeout = HEADERS_TIMEOUT_MS;
    this.server.keepAliveTimeout = IDLE_TIMEOUT_MS;
    this.server.maxConnections = options.maxConnections ?? 1000;
  }

  /** Serve; the URL where. Port 0 takes any that is free. */
  async listen(port: number, host = "127.0.0.1"): Promise<string> {
    this.hosts.listened = host.toLowerCase();
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, host, () => {
        this.server.off("error", reject);
        resolve();
      });
    });
    if (this.certificate !== undefined) {
      this.endKeeping = keepPair(this.server as EncryptedServer, this.certificate, this.log);
    }
    const { address, family, port: taken } = this.server.address() as AddressInfo;
    const scheme = this.certificate === undefined ? "http" : "https";
    return `${scheme}://${family === "IPv6" ? `[${address}]` : address}:${taken}`;
  }

  /**
   * Stop: event streams and waits end at once (browsers come back to another gateway, or to this one when it is started
   * again), other requests have `graceMs` milliseconds to end. Whether they did.
   */
  async stop(graceMs = 10_000): Promise<boolean> {
    this.stopping.abort();
    this.endKeeping();
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
    const [path = "", ...query] = (request.url ?? "").split("?");
    const { bodies, bodyLimits, forward, log } = this;
    const { signal } = this.stopping;
    const session = this.sessions.authorization(request);
    const exchange = new Exchange(request, response, query.join("?"), bodies, bodyLimits, forward, session, signal, log);
    try {
      this.hosts.check(request.headersDistinct["host"]?.join(", "));
      if (this.origins.check(request, response)) {
        response.writeHead(204).end();
        return;
      }
      await this.dispatch(path, exchange);
    } catch (thrown) {
      if (exchange.left) {
        return;
      }
      if (response.headersSent) {
        response.destroy(); // too late to say why
        return;
      }
      const problem = problemOf(thrown, this.log);
      if (thrown === problem && isRefusal(problem)) {
        // the server never sees it, and audits nothing
        this.log(`request refused: ${shownRequest(request)} from ${peerOf(request)}: ${problem.code}`, problem);
        this.audit?.refused(request, problem);
      }
      exchange.refuse(problem);
    } finally {
      exchange.release();
    }
  }

  private async dispatch(path: string, exchange: Exchange): Promise<void> {
    const methods = this.routes.get(path);
    if (methods === undefined) {
      throw new Problem(404, "NOT_FOUND", `${path}: there is nothing here`);
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
