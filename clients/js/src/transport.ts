/** The transport: gRPC over HTTP/2, with the settings that every connection of this package has. */

import type { ClientHttp2Stream, Http2Session } from "node:http2";
import type { SecureContextOptions } from "node:tls";

import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

/** Reports of large tasks are far beyond the 4 MB that gRPC clients usually receive. */
export const MAX_RECEIVE_BYTES = 256 * 1024 * 1024;

/** TLS as Node's own `tls.connect` has it: `ca`, `cert` and `key`, for example. */
export interface TlsOptions extends SecureContextOptions {
  /** The name that the server's certificate must have, where it is not that of the target. */
  readonly servername?: string;
  /** False accepts any certificate: for experiments only. */
  readonly rejectUnauthorized?: boolean;
}

/** A connection to one server, made when it is first needed. */
export interface Channel {
  readonly transport: Transport;
  /** End the connection, and all calls on it. */
  readonly close: () => void;
}

/**
 * A connection to `target`: `host:port`, or a URL that says `http:` or `https:`.
 *
 * @throws RangeError if the target is neither
 */
export function openChannel(target: string, tls: boolean | TlsOptions, interceptors: Interceptor[]): Channel {
  const baseUrl = baseUrlOf(target, tls);
  const sessionManager = new GuardedSessionManager(
    baseUrl,
    // A connection that died without a word is found out while a call waits on it. Servers refuse pings that come
    // more often than every ten seconds.
    { pingIntervalMs: 30_000, pingTimeoutMs: 10_000 },
    {
      ...(typeof tls === "object" ? tls : {}),
      // a request larger than Node's 10 MB would keep all others from beginning
      maxSessionMemory: 1024,
      // what a slow watcher may leave unread, and what is under way at once to a far server
      settings: { initialWindowSize: 1024 * 1024, enablePush: false },
    },
  );
  return {
    transport: createGrpcTransport({ baseUrl, sessionManager, interceptors, readMaxBytes: MAX_RECEIVE_BYTES }),
    close: () => sessionManager.abort(),
  };
}

/**
 * A session that the server is just ending tells its error a little later. If it was replaced or closed meanwhile, nobody
 * listens any more, and the error would end the process: so somebody always listens.
 */
class GuardedSessionManager extends Http2SessionManager {
  private readonly guarded = new WeakSet<Http2Session>();

  override async request(...call: Parameters<Http2SessionManager["request"]>): Promise<ClientHttp2Stream> {
    const stream = await super.request(...call);
    const { session } = stream;
    if (session !== undefined && !this.guarded.has(session)) {
      this.guarded.add(session);
      session.on("error", () => undefined); // the calls on it have got their own
    }
    return stream;
  }
}

function baseUrlOf(target: string, tls: boolean | TlsOptions): string {
  const url = /^https?:\/\//.test(target) ? target : `${tls === false ? "http" : "https"}://${target}`;
  if (!URL.canParse(url) || new URL(url).origin !== url.replace(/\/$/, "").replace(/:(80|443)$/, "")) {
    throw new RangeError(`the target is host:port or a URL without a path, not ${JSON.stringify(target)}`);
  }
  return url;
}
