/**
 * The errors of the client.
 *
 *     FlowgramError
 *     ├── InvalidValueError             refused before anything was sent: NaN, a Map, a circular object …
 *     ├── RequestError                  a call failed; nothing of what it asked for is known to have happened
 *     │   ├── InvalidArgumentError      the server names every problem
 *     │   │   └── InvalidWorkflowError  … of a schema or of its inputs
 *     │   ├── TaskNotFoundError         no such task, or its retention has passed
 *     │   ├── UnauthenticatedError      the server asks for credentials, and got none that are valid
 *     │   ├── PermissionDeniedError     the credentials do not allow the call
 *     │   ├── AlreadyExistsError        the request id was used before with a different request
 *     │   ├── SequenceOutOfRangeError   a watch was to begin beyond the last event
 *     │   ├── ResourceExhaustedError    too many tasks are running, or a message is too large
 *     │   ├── UnavailableError          no server, or one that is going away; retried before it is thrown
 *     │   ├── DeadlineExceededError     no answer within the timeout
 *     │   ├── CallCanceledError         the client was closed during the call
 *     │   └── ServerError               everything else, by its `code`
 *     └── OutcomeError                  thrown by `outputsOf` for a task that has none
 *         ├── TaskFailedError
 *         ├── TaskCanceledError
 *         └── TaskUnfinishedError       the task goes on; the call's deadline came first
 *
 * A call that its AbortSignal ended throws the signal's own reason, as everywhere in JavaScript.
 */

import type { TaskMessage } from "./messages.js";

/** The status codes of gRPC. */
export type StatusCode =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** One thing that is wrong with a request. */
export interface Violation {
  /** The field, as in `schema.nodes[2].id`. */
  readonly field: string;
  /** What is wrong there. */
  readonly description: string;
}

/** The base of every error that this package throws. */
export class FlowgramError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** A value cannot be sent; the text names the field. Nothing was sent. */
export class InvalidValueError extends FlowgramError {}

/** What is known about a call that failed. */
export interface Refusal {
  readonly code: StatusCode;
  /** The server's own words, or the transport's. */
  readonly text: string;
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly Violation[];
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** A call ended with a status other than OK. */
export class RequestError extends FlowgramError {
  /** The gRPC status. */
  readonly code: StatusCode;
  /** The server's own words, or the transport's; `message` has the violations as well. */
  readonly text: string;
  /** The stable UPPER_SNAKE reason of the service; empty where the transport failed. */
  readonly reason: string;
  /** Particulars of the reason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is wrong with the request, in the server's order. */
  readonly violations: readonly Violation[];
  /** Milliseconds after which the server suggests another attempt. */
  readonly retryAfterMs: number | undefined;

  constructor(refusal: Refusal) {
    const violations = refusal.violations ?? [];
    const lines = violations.map(({ field, description }) => `  ${field ? `${field}: ` : ""}${description}`);
    const first = refusal.text || refusal.code.toLowerCase().replaceAll("_", " ");
    super([first, ...lines].join("\n"), refusal.cause === undefined ? {} : { cause: refusal.cause });
    this.code = refusal.code;
    this.text = refusal.text;
    this.reason = refusal.reason ?? "";
    this.metadata = refusal.metadata ?? {};
    this.violations = violations;
    this.retryAfterMs = refusal.retryAfterMs;
  }
}

/** The request is wrong; `violations` lists all that is. */
export class InvalidArgumentError extends RequestError {}

/** The schema or the inputs are wrong; `violations` lists all that is. */
export class InvalidWorkflowError extends InvalidArgumentError {}

/** No such task, or its retention has passed. */
export class TaskNotFoundError extends RequestError {}

/** The server asks for credentials, and the call has none, or none that are valid: see `token`. */
export class UnauthenticatedError extends RequestError {}

/** The credentials are valid, and do not allow this call. */
export class PermissionDeniedError extends RequestError {}

/** The request id was used before, with a different request. */
export class AlreadyExistsError extends RequestError {}

/** The watch was to begin beyond the task's last event. */
export class SequenceOutOfRangeError extends RequestError {}

/** A limit is reached; `retryAfterMs` says when to try again, if that helps. */
export class ResourceExhaustedError extends RequestError {}

/** The server cannot be reached, is going away, or has fallen silent. */
export class UnavailableError extends RequestError {}

/** No answer came in time. A task that was started goes on. */
export class DeadlineExceededError extends RequestError {}

/** The call was ended before its answer came: the client was closed. */
export class CallCanceledError extends RequestError {}

/** The server failed, or refused for a reason of its own; see `code` and `reason`. */
export class ServerError extends RequestError {}

/** A task has no outputs. */
export class OutcomeError extends FlowgramError {
  constructor(
    message: string,
    /** The task. */
    readonly taskId: string,
    /** The task's error messages, in order. */
    readonly errors: readonly TaskMessage[] = [],
  ) {
    super(message);
  }
}

/** The task failed; `errors` says why. */
export class TaskFailedError extends OutcomeError {}

/** The task was canceled. */
export class TaskCanceledError extends OutcomeError {}

/** The task has not ended yet. */
export class TaskUnfinishedError extends OutcomeError {}
