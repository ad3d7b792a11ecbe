/** Access to a gateway: its host names, and the origins of pages that may call it. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { isIP, isIPv6 } from "node:net";

import { Problem } from "./problem.js";

/** Among origins: stands for every one on this machine. */
export const LOOPBACK = "loopback";

const SHOWN = 256;
const HARMLESS = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Says which names in a Host header are this gateway's.
 *
 * A page whose own name was made to lead to this machine (DNS rebinding) is of the gateway's own origin to its browser, but
 * names itself as Host. So only names that this gateway is known by are answered: those of this machine, the address that it
 * listens on, and those of the options. Addresses themselves cannot be rebound.
 */
export class Hosts {
  /** The host that is listened on. */
  listened = "";
  private readonly names: ReadonlySet<string>;

  constructor(names: readonly string[]) {
    this.names = new Set(names.map((name) => name.toLowerCase()));
  }

  /** @throws Problem if the header names another */
  check(header: string | undefined): void {
    const name = hostName((header ?? "").trim().toLowerCase());
    const known = this.names.has("*") || this.names.has(name) || name === this.listened || isLocalName(name);
    const anyAddress = this.listened === "0.0.0.0" || this.listened === "::";
    if (!known && !isLoopback(name) && !(anyAddress && isIP(name) !== 0)) {
      const shown = (header ?? "").slice(0, SHOWN);
      throw new Problem(403, "HOST_NOT_ALLOWED", `this gateway is not known as ${shown}: allowedHosts does not name it`);
    }
  }
}

/** Says what pages of other origins may do. */
export class Origins {
  private readonly all: boolean;
  private readonly headers: string;

  constructor(
    private readonly origins: readonly string[],
    forward: readonly string[],
  ) {
    this.all = origins.includes("*");
    this.headers = ["Content-Type", "Last-Event-ID", "Cache-Control", ...forward].join(", ");
  }

  /**
   * Tell the browser what the page may do; whether that is all it wanted to know.
   *
   * @throws Problem if a page that may not use the gateway wants to change something, or asks whether it may
   */
  check(request: IncomingMessage, response: ServerResponse): boolean {
    const { origin } = request.headers;
    if (!this.all) {
      response.setHeader("Vary", "Origin");
    }
    if (origin === undefined || isOwnOrigin(origin, request)) {
      return false;
    }
    const asks = request.method === "OPTIONS" && request.headers["access-control-request-method"] !== undefined;
    if (!this.allows(origin)) {
      if (!asks && HARMLESS.has(request.method ?? "")) {
        return false;
      }
      const shown = origin.slice(0, SHOWN);
      throw new Problem(403, "ORIGIN_NOT_ALLOWED", `pages of ${shown} may not use this gateway: origins does not name it`);
    }
    response.setHeader("Access-Control-Allow-Origin", this.all ? "*" : origin);
    response.setHeader("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate");
    if (!asks) {
      return false;
    }
    response.setHeader("Access-Control-Allow-Methods", "GET, POST, PUT");
    response.setHeader("Access-Control-Allow-Headers", this.headers);
    response.setHeader("Access-Control-Max-Age", "600");
    if (request.headers["access-control-request-private-network"] === "true") {
      response.setHeader("Access-Control-Allow-Private-Network", "true"); // a page that is allowed may reach this machine
    }
    return true;
  }

  private allows(origin: string): boolean {
    return this.all || this.origins.includes(origin) || (this.origins.includes(LOOPBACK) && isLoopbackOrigin(origin));
  }
}

/**
 * Whether an origin is that of the gateway's own pages, by the name that the request knows it by, which was checked. The scheme does
 * not matter: a proxy in front may have decrypted the request.
 */
export function isOwnOrigin(origin: string, request: IncomingMessage): boolean {
  const [, host] = /^[^:]*:\/\/(.*)$/.exec(origin) ?? [];
  return host !== undefined && host === request.headers.host;
}

function isLoopbackOrigin(origin: string): boolean {
  const [, host] = /^https?:\/\/([^/]+)$/.exec(origin) ?? [];
  const name = hostName(host ?? "");
  return name === "localhost" || isLoopback(name);
}

function isLocalName(name: string): boolean {
  return name === "localhost" || name.endsWith(".localhost");
}

/** Whether what is listened on is of this machine alone. A name other than localhost may be anything. */
export function isLoopbackHost(host: string): boolean {
  return host.toLowerCase() === "localhost" || isLoopback(host);
}

function isLoopback(name: string): boolean {
  return (isIP(name) === 4 && name.startsWith("127.")) || (isIPv6(name) && /^(0*:)*:?0*1$/.test(name));
}

function hostName(host: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(host);
  return bracketed?.[1] ?? host.replace(/:\d+$/, "");
}
