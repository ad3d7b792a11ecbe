#!/usr/bin/env node
/** The command `flowgram-gateway`: serves until SIGTERM or Ctrl-C. */

import { parseArgs } from "node:util";

import { isLoopbackHost } from "./access.js";
import { createGateway } from "./gateway.js";

const USAGE = `Usage: flowgram-gateway [OPTIONS]

Serves the API of FlowGram's editor, with Server-Sent Events, before a server
elsewhere.

  --target HOST:PORT  the gRPC server; FLOWGRAM_TARGET in the environment
                      changes the default  [127.0.0.1:50051]
  --tls               encrypt the connection to the gRPC server
  --listen HOST:PORT  where to serve; port 0 takes any that is free
                      [127.0.0.1:8080]
  --listen-cert FILE  PEM file of the gateway's own certificate; read again
                      when it changes. Without it nothing is encrypted
  --listen-key FILE   PEM file of its private key
  --insecure-remote   listen beyond this machine without --listen-cert, such
                      as behind a proxy that encrypts
  --audit-log FILE    for a line of JSON per request that the gateway itself
                      refuses; -: standard output
  --cors ORIGINS      whose pages may use the gateway, with commas between
                      them; loopback: those on this machine, *: all
                      [loopback]
  --allowed-hosts NAMES
                      in a Host header that are answered, beside those of
                      this machine, with commas between them; *: all
  --forward HEADERS   that are sent on to the gRPC server as metadata, with
                      commas between them
                      [authorization,flowgram-namespace,traceparent,tracestate]
  --timeout DURATION  for calls that are answered at once  [30s]
  --heartbeat DURATION
                      after which a silent event stream sends a comment  [15s]
  --max-body BYTES    of a request  [50331648]
  --max-connections COUNT
                      that are open at once; more are closed  [1000]
  --grace DURATION    for requests under way, when it is asked to stop  [10s]
  --help              show this text
`;

/** The arguments make no sense; the message says why. */
class UsageError extends Error {}

async function main(): Promise<void> {
  const { values } = readArguments();
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const [host, port] = readAddress(values.listen);
  const certificate = readCertificate(values, host);
  const auditLog = values["audit-log"];
  const gateway = createGateway({
    ...(certificate && { certificate }),
    ...(auditLog !== undefined && { auditLog }),
    target: values.target,
    tls: values.tls,
    origins: names(values.cors),
    allowedHosts: names(values["allowed-hosts"]),
    forward: names(values.forward),
    timeoutMs: readDuration("timeout", values.timeout),
    heartbeatMs: readDuration("heartbeat", values.heartbeat),
    maxBodyBytes: readCount("max-body", values["max-body"]),
    maxConnections: readCount("max-connections", values["max-connections"]),
    log: (text, error) => log("WARN", text, { error: error instanceof Error ? error.message : String(error) }),
  });
  const grace = readDuration("grace", values.grace);
  const url = await gateway.listen(port, host);
  log("INFO", "serving", { url, target: values.target });
  await stopSignal();
  log("INFO", "stopping", { grace: values.grace });
  if (!(await gateway.stop(grace))) {
    log("WARN", "requests were cut off");
  }
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        target: { type: "string", default: process.env["FLOWGRAM_TARGET"] || "127.0.0.1:50051" },
        tls: { type: "boolean", default: false },
        listen: { type: "string", default: "127.0.0.1:8080" },
        "listen-cert": { type: "string" },
        "listen-key": { type: "string" },
        "insecure-remote": { type: "boolean", default: false },
        "audit-log": { type: "string" },
        cors: { type: "string", default: "loopback" },
        "allowed-hosts": { type: "string", default: "" },
        forward: { type: "string", default: "authorization,flowgram-namespace,traceparent,tracestate" },
        timeout: { type: "string", default: "30s" },
        heartbeat: { type: "string", default: "15s" },
        "max-body": { type: "string", default: "50331648" },
        "max-connections": { type: "string", default: "1000" },
        grace: { type: "string", default: "10s" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function readAddress(text: string): [host: string, port: number] {
  const [, host, port] = /^(.*):(\d{1,5})$/.exec(text) ?? [];
  if (!host || Number(port) > 65_535) {
    throw new UsageError(`--listen should be HOST:PORT, not ${text}`);
  }
  return [host.replace(/^\[(.*)\]$/, "$1"), Number(port)];
}

/** The files of the gateway's certificate; undefined where it goes without, which it may on this machine only, or if that is meant so. */
function readCertificate(
  values: ReturnType<typeof readArguments>["values"],
  host: string,
): { certificate: string; key: string } | undefined {
  const { "listen-cert": certificate, "listen-key": key } = values;
  if (certificate !== undefined && key !== undefined) {
    return { certificate, key };
  }
  if (certificate !== undefined || key !== undefined) {
    throw new UsageError("--listen-cert and --listen-key belong together");
  }
  if (!values["insecure-remote"] && !isLoopbackHost(host)) {
    throw new UsageError(
      `${values.listen} can be reached from other machines, which takes --listen-cert and --listen-key: credentials would be sent ` +
        "in the clear; --insecure-remote starts without, such as behind a proxy that encrypts",
    );
  }
  return undefined;
}

function readDuration(name: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(number) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit ?? ""] ?? 0);
  if (!(ms > 0)) {
    throw new UsageError(`--${name} should be a duration such as 30s, not ${text}`);
  }
  return ms;
}

function readCount(name: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) {
    throw new UsageError(`--${name} should be a number, not ${text}`);
  }
  return Number(text);
}

function names(list: string): string[] {
  return list
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

/** Resolves at the first SIGTERM or Ctrl-C; a second one ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
      resolve();
    };
    process.on("SIGINT", stop).on("SIGTERM", stop);
  });
}

function log(level: string, text: string, fields: Readonly<Record<string, string>> = {}): void {
  const pairs = Object.entries(fields).map(([name, value]) => {
    return ` ${name}=${/^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)}`;
  });
  process.stderr.write(`${new Date().toISOString()} ${level} ${text}${pairs.join("")}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`flowgram-gateway: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
});
