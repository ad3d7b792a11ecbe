/** The audit log of a gateway: a line of JSON for each request that it refuses itself. What the server refuses is audited there. */

import { appendFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";

import type { Problem } from "./problem.js";

/** Stands for the standard output where a file is named. */
const STANDARD_OUTPUT = "-";
const MODE = 0o600;
const SHOWN = 128;

/** Statuses of answers that say that a request was refused, by their names. */
const STATUSES: ReadonlyMap<number, string> = new Map([
  [401, "UNAUTHORIZED"],
  [403, "FORBIDDEN"],
  [408, "REQUEST_TIMEOUT"],
  [413, "REQUEST_ENTITY_TOO_LARGE"],
  [415, "UNSUPPORTED_MEDIA_TYPE"],
  [503, "SERVICE_UNAVAILABLE"],
]);

/** Whether a problem of the gateway's own says that a request was refused. */
export function isRefusal(problem: Problem): boolean {
  return STATUSES.has(problem.status);
}

/** What is shown of a request in logs: a client must not fill the disk. */
export function shownRequest(request: IncomingMessage): string {
  const path = (request.url ?? "").split("?")[0] ?? "";
  return `${request.method} ${path.slice(0, SHOWN)}`;
}

/** Where a request comes from. */
export function peerOf({ socket }: IncomingMessage): string {
  const { remoteAddress = "", remoteFamily, remotePort = 0 } = socket;
  return `${remoteFamily === "IPv6" ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`;
}

/** Adds lines to a file, which is made for its owner only, and made anew where it was moved away. */
export class AuditLog {
  private failed = false;

  /** @throws Error if the file cannot be written */
  constructor(
    private readonly path: string,
    private readonly log: (text: string, error: unknown) => void,
  ) {
    this.append("");
  }

  /** A request was refused. */
  refused(request: IncomingMessage, problem: Problem): void {
    const line = {
      time: new Date().toISOString(),
      principal: null,
      namespace: null,
      peer: peerOf(request),
      method: shownRequest(request),
      allowed: false,
      reason: problem.code,
      status: STATUSES.get(problem.status),
    };
    try {
      this.append(`${JSON.stringify(line)}\n`);
      this.failed = false;
    } catch (error) {
      if (!this.failed) {
        this.log("the audit log cannot be written: lines are lost", error);
      }
      this.failed = true;
    }
  }

  private append(text: string): void {
    if (this.path === STANDARD_OUTPUT) {
      process.stdout.write(text);
    } else {
      appendFileSync(this.path, text, { mode: MODE });
    }
  }
}
