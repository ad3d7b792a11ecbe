/** Problems: why a request is refused, and the error answer that says so. */

import { InvalidWorkflowError, RequestError, type StatusCode } from "../src/errors.js";

/** A problem of a request: an HTTP status, a code for programs, and texts for people. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly errors: readonly string[] = [],
    /** Milliseconds after which to try again. */
    readonly retryAfterMs: number | undefined = undefined,
  ) {
    super(message);
  }

  /** What a client without valid credentials is asked for; undefined for all others. */
  get challenge(): string | undefined {
    const invalid = this.code === "CREDENTIALS_INVALID" ? ', error="invalid_token"' : "";
    return this.status === 401 ? `Bearer realm="flowgram"${invalid}` : undefined;
  }

  /** The problem as JSON. */
  body(): string {
    const { code, message, errors } = this;
    return JSON.stringify({ code, message, errors });
  }
}

/** The problem of a request that is not as it should be. */
export function invalid(...problems: string[]): Problem {
  return new Problem(400, "ARGUMENT_INVALID", problems.join("; "), problems);
}

const BY_REASON: Readonly<Record<string, number>> = {
  MESSAGE_TOO_LARGE: 500, // the request was fine; else see statusOf
  TOO_MANY_TASKS: 429,
  TOO_MANY_WATCHES: 429,
  QUOTA_EXCEEDED: 429,
  MEMORY_LIMIT: 429,
  STORAGE_FULL: 507,
};

const BY_CODE: Readonly<Partial<Record<StatusCode, number>>> = {
  INVALID_ARGUMENT: 400,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  ABORTED: 409,
  OUT_OF_RANGE: 416,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  CANCELLED: 503,
  DEADLINE_EXCEEDED: 504,
  // without a reason it is gRPC itself that refuses a message for its size
  RESOURCE_EXHAUSTED: 413,
};

/** What the transport says of addresses and sockets is not for clients. */
const TRANSPORT_TEXTS: Readonly<Record<number, string>> = {
  503: "the runtime cannot be reached at the moment",
  504: "the runtime did not answer in time",
  413: "the request is larger than the runtime takes",
};

/** Statuses after which trying again makes sense. */
const RETRIABLE = new Set([429, 503, 507]);

const LEAST_RETRY_MS = 1000;

/** What a client gets to know of whatever was thrown. What is not for it goes to `log`. */
export function problemOf(thrown: unknown, log: (text: string, error: unknown) => void): Problem {
  if (thrown instanceof Problem) {
    return thrown;
  }
  if (!(thrown instanceof RequestError)) {
    log("a request failed", thrown);
    return new Problem(500, "INTERNAL", "internal error");
  }
  const status = statusOf(thrown);
  const retryAfterMs = RETRIABLE.has(status) ? Math.max(thrown.retryAfterMs ?? 0, LEAST_RETRY_MS) : undefined;
  if (thrown.reason === "") {
    log("the runtime gave no proper answer", thrown);
    const text = TRANSPORT_TEXTS[status] ?? "the runtime gave no proper answer";
    return new Problem(status, thrown.code, text, violations(thrown), retryAfterMs);
  }
  const text = inOwnWords(thrown.text, thrown.reason);
  return new Problem(status, thrown.reason, text, violations(thrown), retryAfterMs);
}

function statusOf(error: RequestError): number {
  if (error.reason === "MESSAGE_TOO_LARGE" && error.metadata["message"] === "request") {
    return 413;
  }
  return BY_REASON[error.reason] ?? BY_CODE[error.code] ?? 502;
}

/** Violations as texts: those of a workflow stand for themselves, others need the name of the field. */
function violations(error: RequestError): string[] {
  return error.violations.map(({ field, description }) =>
    field === "" || error instanceof InvalidWorkflowError
      ? description
      : inOwnWords(`${field} ${description}`, error.reason),
  );
}

const ABOUT_REQUESTS = new Set(["ARGUMENT_INVALID", "PAGE_TOKEN_INVALID", "REQUEST_ID_REUSED", "SEQUENCE_OUT_OF_RANGE"]);

/** By the service's name of a part of a request, the one that it has here. */
const OWN_NAMES: ReadonlyMap<string, string> = new Map([
  ["task_id", "taskID"],
  ["request_id", "requestID"],
  ["page_size", "pageSize"],
  ["page_token", "pageToken"],
  ["next_page_token", "nextPageToken"],
  ["after_sequence", "after"],
  ["display_name", "displayName"],
]);

/** What the service says of a request, with the names that its parts have here. */
function inOwnWords(text: string, reason: string): string {
  return ABOUT_REQUESTS.has(reason) ? text.replace(/\b[a-z]+_[a-z_]+\b/g, (name) => OWN_NAMES.get(name) ?? name) : text;
}
