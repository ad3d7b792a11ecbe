/** What pages of other origins may do. */

import type { IncomingMessage, ServerResponse } from "node:http";

/** The rules of a gateway: which origins are let in. */
export class Cors {
  private readonly all: boolean;
  private readonly headers: string;

  constructor(
    private readonly origins: readonly string[],
    forward: readonly string[],
  ) {
    this.all = origins.includes("*");
    this.headers = ["Content-Type", "Last-Event-ID", ...forward].join(", ");
  }

  /** Tell the browser what the page may do; whether that is all it wanted to know. */
  allow(request: IncomingMessage, response: ServerResponse): boolean {
    const { origin } = request.headers;
    if (this.origins.length > 0 && !this.all) {
      response.setHeader("Vary", "Origin");
    }
    if (origin === undefined || !(this.all || this.origins.includes(origin))) {
      return false;
    }
    response.setHeader("Access-Control-Allow-Origin", this.all ? "*" : origin);
    response.setHeader("Access-Control-Expose-Headers", "Location, Retry-After");
    if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) {
      return false;
    }
    response.setHeader("Access-Control-Allow-Methods", "GET, POST");
    response.setHeader("Access-Control-Allow-Headers", this.headers);
    response.setHeader("Access-Control-Max-Age", "600");
    return true;
  }
}
