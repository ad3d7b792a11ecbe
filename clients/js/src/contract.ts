/** The contract itself: generated messages, and the service for a client or a server of Connect. */

export * from "./gen/flowgram/runtime/v1/error_reason_pb.js";
export * from "./gen/flowgram/runtime/v1/event_pb.js";
export * from "./gen/flowgram/runtime/v1/report_pb.js";
export * from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
