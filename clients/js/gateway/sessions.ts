/**
 * Sessions of browsers: a cookie, which no script can read, stands for the credential that was given when signing in. The
 * credential stays in this process.
 */

import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";

import type { Operations } from "../src/operations.js";
import { isOwnOrigin } from "./access.js";
import { callerShape, encode } from "./encoding.js";
import type { Exchange } from "./exchange.js";
import { invalid, Problem } from "./problem.js";
import { readBody } from "./request.js";

/** Milliseconds without a request after which a session ends. */
export const IDLE_MS = 12 * 3_600_000;
/** Milliseconds after which it ends anyway. */
export const LONGEST_MS = 7 * 24 * 3_600_000;
/** Beyond so many, the one that was used least lately ends. */
export const MAX_SESSIONS = 10_000;

/** Sessions of one credential, likewise: nobody ends those of others by signing in again and again. */
export const MAX_OF_ONE = 100;

const MAX_BODY_BYTES = 64 * 1024;
const BEARER = /^[!-~]{1,8192}$/;
const COOKIE = "flowgram_session";
/** Of an encrypted page: no page of a neighboring domain can set a cookie of such a name here. */
const SECURE_COOKIE = `__Host-${COOKIE}`;

interface Session {
  readonly authorization: string;
  readonly began: number;
  used: number;
}

/** The sessions of a gateway. */
export class Sessions {
  // A map keeps its order: the one that was used last is the last.
  private readonly byDigest = new Map<string, Session>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** A new session for a credential: what its cookie is to hold. */
  begin(authorization: string): string {
    const name = randomBytes(32).toString("base64url");
    const own = [...this.byDigest].filter(([, session]) => session.authorization === authorization);
    if (own.length >= MAX_OF_ONE && own[0] !== undefined) {
      this.byDigest.delete(own[0][0]);
    }
    for (const [oldest] of this.byDigest) {
      if (this.byDigest.size < MAX_SESSIONS) {
        break;
      }
      this.byDigest.delete(oldest);
    }
    const now = this.now();
    this.byDigest.set(digest(name), { authorization, began: now, used: now });
    return name;
  }

  /** End a session, if it is one. */
  end(name: string): void {
    this.byDigest.delete(digest(name));
  }

  /**
   * The credential of the session that a request belongs to; undefined: it belongs to none. The cookie counts for the gateway's
   * own page only: those of pages from elsewhere are as if they had none.
   */
  authorization(request: IncomingMessage): string | undefined {
    const name = cookieOf(request);
    if (name === undefined || !isOwnPage(request)) {
      return undefined;
    }
    const key = digest(name);
    const session = this.byDigest.get(key);
    this.byDigest.delete(key);
    const now = this.now();
    if (session === undefined || now - session.used > IDLE_MS || now - session.began > LONGEST_MS) {
      return undefined;
    }
    session.used = now;
    this.byDigest.set(key, session);
    return session.authorization;
  }

  /** `POST /api/session`: signs a browser in with an API key or a token. The answer says who it is, and sets a cookie. */
  async signIn(operations: Operations, exchange: Exchange): Promise<void> {
    const { request, response } = exchange;
    checkOwnPage(request);
    const body = await readBody(exchange, MAX_BODY_BYTES);
    const key = body.only("key")?.trim();
    if (key === undefined) {
      throw invalid("key: must be a text");
    }
    if (!BEARER.test(key)) {
      throw invalid("key: is no API key and no token");
    }
    const authorization = `Bearer ${key}`;
    const metadata = { ...exchange.settings.metadata, authorization };
    const shape = await callerOf(operations, { ...exchange.settings, metadata });
    this.end(cookieOf(request) ?? "");
    // The page knows whether it was served encrypted, also where a proxy did that.
    const secure = isEncrypted(request) || (request.headers.origin ?? "").startsWith("https:");
    response.setHeader("Set-Cookie", setCookie(this.begin(authorization), LONGEST_MS / 1000, secure));
    response.setHeader("Cache-Control", "no-store");
    exchange.send(200, encode(shape));
  }

  /** `GET /api/session`: who calls, by the session, or by a credential of the request's own. */
  async show(operations: Operations, exchange: Exchange): Promise<void> {
    const shape = await callerOf(operations, exchange.settings);
    exchange.response.setHeader("Cache-Control", "no-store");
    exchange.send(200, encode(shape));
  }

  /** `DELETE /api/session`: ends the session. Idempotent. */
  signOut(_operations: Operations, exchange: Exchange): Promise<void> {
    const { request, response } = exchange;
    checkOwnPage(request);
    this.end(cookieOf(request) ?? "");
    response.setHeader("Set-Cookie", [setCookie("", 0, false), setCookie("", 0, true)]);
    response.setHeader("Cache-Control", "no-store");
    response.writeHead(204).end();
    return Promise.resolve();
  }
}

async function callerOf(operations: Operations, settings: Exchange["settings"]) {
  const { caller } = await operations.info(settings);
  if (caller === undefined) {
    throw new Problem(401, "CREDENTIALS_MISSING", "nobody is signed in");
  }
  return callerShape(caller);
}

function checkOwnPage(request: IncomingMessage): void {
  if (!isOwnPage(request)) {
    throw new Problem(403, "ORIGIN_NOT_ALLOWED", "only a page of this gateway may sign somebody in or out");
  }
}

/**
 * Whether a request is one of the gateway's own page, and not of another that the same browser shows. SameSite alone does not
 * say so: to it, all ports of a machine are one site.
 */
function isOwnPage(request: IncomingMessage): boolean {
  const site = request.headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    return false;
  }
  if (request.headers.origin !== undefined) {
    return isOwnOrigin(request.headers.origin, request);
  }
  // Browsers name their origin wherever something may change.
  return site !== undefined || request.method === "GET" || request.method === "HEAD";
}

/** What the session's cookie holds; undefined where there is none, or several, of which one is somebody else's. */
function cookieOf(request: IncomingMessage): string | undefined {
  const pairs = (request.headers.cookie ?? "").split(";").map((part) => {
    const [name = "", ...value] = part.trim().split("=");
    return [name, value.join("=")] as const;
  });
  for (const wanted of isEncrypted(request) ? [SECURE_COOKIE] : [SECURE_COOKIE, COOKIE]) {
    const found = pairs.filter(([name]) => name === wanted);
    if (found.length > 0) {
      return found.length === 1 ? found[0]?.[1] : undefined;
    }
  }
  return undefined;
}

function setCookie(value: string, seconds: number, secure: boolean): string {
  const [name, path] = secure ? [SECURE_COOKIE, "/"] : [COOKIE, "/api"];
  return `${name}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure ? "; Secure" : ""}`;
}

function isEncrypted(request: IncomingMessage): boolean {
  return (request.socket as TLSSocket).encrypted === true;
}

function digest(name: string): string {
  return createHash("sha256").update(name).digest("base64");
}
