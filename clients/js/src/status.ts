/**
 * Translation of failed calls into the errors of this package.
 *
 * The service puts google.rpc.ErrorInfo, BadRequest and RetryInfo into the details of every status that it sends; a
 * failure without them was made on the way.
 */

import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import * as errors from "./errors.js";
import type { Refusal, RequestError, StatusCode } from "./errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Status as StatusMessage } from "./gen/google/rpc/status_pb.js";

const DOMAIN = "flowgram.runtime";

const NAMES: Readonly<Record<Code, StatusCode>> = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
};

type Kind = new (refusal: Refusal) => RequestError;

const BY_REASON = new Map<string, Kind>([
  ["SCHEMA_INVALID", errors.InvalidWorkflowError],
  ["INPUTS_INVALID", errors.InvalidWorkflowError],
]);

const BY_CODE = new Map<StatusCode, Kind>([
  ["INVALID_ARGUMENT", errors.InvalidArgumentError],
  ["NOT_FOUND", errors.TaskNotFoundError],
  ["UNAUTHENTICATED", errors.UnauthenticatedError],
  ["PERMISSION_DENIED", errors.PermissionDeniedError],
  ["ALREADY_EXISTS", errors.AlreadyExistsError],
  ["OUT_OF_RANGE", errors.SequenceOutOfRangeError],
  ["RESOURCE_EXHAUSTED", errors.ResourceExhaustedError],
  ["UNAVAILABLE", errors.UnavailableError],
  ["DEADLINE_EXCEEDED", errors.DeadlineExceededError],
  ["CANCELLED", errors.CallCanceledError],
]);

/** The error for whatever a call threw. */
export function errorFrom(thrown: unknown): RequestError {
  if (thrown instanceof errors.RequestError) {
    return thrown;
  }
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
  const [retry] = error.findDetails(RetryInfoSchema);
  return make({
    code: isLostConnection(error) ? "UNAVAILABLE" : NAMES[error.code],
    text: error.rawMessage,
    reason: info?.reason ?? "",
    metadata: { ...info?.metadata },
    violations: error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations)
      .map(({ field, description }) => ({ field, description })),
    retryAfterMs: retry?.retryDelay && durationMs(retry.retryDelay),
    cause: thrown,
  });
}

/** The error for a status within a message, such as that of a run in a batch. */
export function errorFromStatus(status: StatusMessage): RequestError {
  const error = new ConnectError(status.message, status.code);
  for (const { typeUrl, value } of status.details) {
    error.details.push({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value });
  }
  return errorFrom(error);
}

/** The error for what is known of a failed call. */
function make(refusal: Refusal): RequestError {
  const kind = BY_REASON.get(refusal.reason ?? "") ?? BY_CODE.get(refusal.code) ?? errors.ServerError;
  return new kind(refusal);
}

/** An UNAVAILABLE that this client found out by itself. */
export function unavailable(text: string): RequestError {
  return make({ code: "UNAVAILABLE", text });
}

/** A DEADLINE_EXCEEDED that this client found out by itself. */
export function deadlineExceeded(): RequestError {
  return make({ code: "DEADLINE_EXCEEDED", text: "the timeout has passed" });
}

/** The error of calls whose client was closed. */
export function clientClosed(): RequestError {
  return make({ code: "CANCELLED", text: "the client was closed" });
}

/**
 * Whether the connection broke, which the transport tells by many codes: a socket that closed under a stream is
 * CANCELLED or ABORTED to it, an unknown error of the system INTERNAL. What the server said has a grpc-status; but that
 * a call is CANCELLED it only says of those that it cuts off when it ends.
 */
function isLostConnection(error: ConnectError): boolean {
  if (error.metadata.has("grpc-status")) {
    return error.code === Code.Canceled;
  }
  switch (error.code) {
    case Code.Canceled:
    case Code.Aborted:
      return true;
    case Code.Internal:
    case Code.Unknown:
      return hasSystemCode(error.cause);
    case Code.ResourceExhausted:
      return error.rawMessage.startsWith("http/2"); // the server asks to slow down: it has closed the connection
    default:
      return false;
  }
}

/** Whether an error of Node's sockets, TLS or HTTP/2 is in the chain of causes. */
function hasSystemCode(thrown: unknown): boolean {
  for (let error = thrown, depth = 0; error instanceof Error && depth < 8; error = error.cause, depth++) {
    if ("code" in error && typeof error.code === "string") {
      return true;
    }
  }
  return false;
}
