/** Calls of the contract: made again where that is safe, with typed errors. */

import {
  createClient,
  type CallOptions,
  type Client as Stub,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";

import { WorkflowRuntimeService } from "./gen/flowgram/runtime/v1/runtime_service_pb.js";
import { UnavailableError, type RequestError } from "./errors.js";
import { delayAfter, policyFrom, RECONNECT, RETRY, type RetryPolicy } from "./retry.js";
import { clientClosed, errorFrom } from "./status.js";
import { Deadline, LinkedController, REAL, type Timing } from "./timing.js";
import { openChannel, type Channel, type TlsOptions } from "./transport.js";

/** The contract's methods. */
export type RuntimeStub = Stub<typeof WorkflowRuntimeService>;

/** What any call takes. */
export interface CallSettings {
  /** Milliseconds that the call may take, its retries included. */
  readonly timeoutMs?: number | undefined;
  /** Ends the call; it then throws the signal's reason. The task is not affected. */
  readonly signal?: AbortSignal | undefined;
  /** Sent with the call, besides the client's own. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** How to reach a server, and how patient to be with it. */
export interface ClientOptions {
  /** `host:port`, or a URL (`http://…`, `https://…`). Default: `127.0.0.1:50051`. */
  readonly target?: string;
  /** Connect with TLS: true, or particulars of it. A target that begins with `https://` says it too. */
  readonly tls?: boolean | TlsOptions;
  /** Sent with every call. */
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * An API key, or a token, that says who calls; a function that gives it is asked at every call, so that tokens may be
   * renewed. Use TLS with it: otherwise anybody on the way can read it.
   */
  readonly token?: string | (() => string) | undefined;
  /**
   * Milliseconds that a call may take, its retries included, unless the call says otherwise. Default: 30,000; Infinity:
   * no limit. Calls that wait for a task, and watches, have no limit but their own.
   */
  readonly timeoutMs?: number;
  /** Where to differ from RETRY, for calls that are answered at once. */
  readonly retry?: Partial<RetryPolicy>;
  /** Where to differ from RECONNECT, for watches and for calls that wait for a task. */
  readonly reconnect?: Partial<RetryPolicy>;
  /** Connect's interceptors, for tracing or tokens that change. */
  readonly interceptors?: Interceptor[];
  /** Use this transport of Connect, which stays open, instead of `target`, `tls` and `interceptors`. */
  readonly transport?: Transport;
  /** Where waits, jitter and time come from. */
  readonly timing?: Partial<Timing>;
}

const DEFAULT_TARGET = "127.0.0.1:50051";
const DEFAULT_TIMEOUT_MS = 30_000;

/** Calls to one server. */
export class Connection {
  /** For calls that are answered at once. */
  readonly retry: RetryPolicy;
  /** For watches, and for calls that wait for a task; failures count anew after any progress. */
  readonly reconnect: RetryPolicy;
  private readonly stub: RuntimeStub;
  private readonly metadata: Readonly<Record<string, string>>;
  private readonly token: (() => string) | undefined;
  private readonly timeoutMs: number;
  private readonly timing: Timing;
  private readonly closing = new AbortController();
  private readonly closeChannel: () => void;

  /** @throws RangeError if an option makes no sense */
  constructor(options: ClientOptions = {}) {
    const { target = DEFAULT_TARGET, tls = false, interceptors = [] } = options;
    const channel: Channel = options.transport
      ? { transport: options.transport, close: () => undefined }
      : openChannel(target, tls, interceptors);
    this.retry = policyFrom(RETRY, options.retry);
    this.reconnect = policyFrom(RECONNECT, options.reconnect);
    this.stub = createClient(WorkflowRuntimeService, channel.transport);
    this.metadata = options.metadata ?? {};
    this.token = tokenFrom(options);
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.timing = { ...REAL, ...options.timing };
    this.closeChannel = channel.close;
  }

  /** A call that is answered at once. Every request that is made in this way may be repeated. */
  quick<T>(perform: (stub: RuntimeStub, options: CallOptions) => Promise<T>, settings: CallSettings): Promise<T> {
    return this.call(perform, this.deadline(settings.timeoutMs ?? this.timeoutMs), this.retry, settings);
  }

  /** A call that is made again while the server is unavailable. */
  async call<T>(
    perform: (stub: RuntimeStub, options: CallOptions) => Promise<T>,
    deadline: Deadline,
    policy: RetryPolicy,
    settings: CallSettings,
  ): Promise<T> {
    const { signal } = settings;
    const { clock } = this.timing;
    for (let failures = 0; ;) {
      const began = clock();
      const attempt = this.open(signal);
      try {
        return await perform(this.stub, this.callOptions(deadline, settings, attempt.signal));
      } catch (thrown) {
        const error = this.failure(thrown, signal);
        if (!(error instanceof UnavailableError)) {
          throw error;
        }
        // one that had been under way is not one failure after another
        failures = clock() - began > policy.maximumMs ? 1 : failures + 1;
        await this.pause(error, failures, policy, deadline, signal);
      } finally {
        attempt.release();
      }
    }
  }

  /** A stream of responses; it ends when `signal`, which comes from `open`, is aborted. */
  stream<T>(
    perform: (stub: RuntimeStub, options: CallOptions) => AsyncIterable<T>,
    deadline: Deadline,
    settings: CallSettings,
    signal: AbortSignal,
  ): AsyncIterator<T> {
    return perform(this.stub, this.callOptions(deadline, settings, signal))[Symbol.asyncIterator]();
  }

  /** A controller for one attempt at a call: closing the client aborts it too. */
  open(signal: AbortSignal | undefined): LinkedController {
    return new LinkedController(this.closing.signal, signal);
  }

  /**
   * The error for what a call threw.
   *
   * @throws the reason of the signal, if that is what ended the call
   */
  failure(thrown: unknown, signal: AbortSignal | undefined): RequestError {
    signal?.throwIfAborted();
    return this.closing.signal.aborted ? clientClosed() : errorFrom(thrown);
  }

  /** Milliseconds until what has failed so often in a row is tried again; undefined to give up. */
  delay(error: RequestError, failures: number, policy: RetryPolicy): number | undefined {
    return delayAfter(policy, failures, this.timing.random, error.retryAfterMs);
  }

  /**
   * Wait for the next attempt.
   *
   * @throws the error itself if there is none
   */
  async pause(
    error: RequestError,
    failures: number,
    policy: RetryPolicy,
    deadline: Deadline,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const delay = this.delay(error, failures, policy);
    if (delay === undefined || delay >= deadline.remaining) {
      throw error;
    }
    await this.sleep(delay, signal);
  }

  /** Let time pass, unless the call or the client is ended. */
  async sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const controller = this.open(signal);
    try {
      await this.timing.sleep(ms, controller.signal);
    } catch (thrown) {
      throw this.failure(thrown, signal);
    } finally {
      controller.release();
    }
  }

  /** The time until which a call must have ended. */
  deadline(timeoutMs: number | undefined): Deadline {
    return new Deadline(timeoutMs, this.timing.clock);
  }

  /** End all calls, and the connection. */
  close(): void {
    this.closing.abort();
    this.closeChannel();
  }

  private callOptions(deadline: Deadline, settings: CallSettings, signal: AbortSignal): CallOptions {
    const caller = this.token === undefined ? {} : { authorization: `Bearer ${checkedToken(this.token())}` };
    return { headers: { ...this.metadata, ...caller, ...settings.metadata }, signal, ...deadline.forCall() };
  }
}

/** What gives the token of a call, if there is one. */
function tokenFrom({ token, metadata }: ClientOptions): (() => string) | undefined {
  if (token === undefined) {
    return undefined;
  }
  if (Object.keys(metadata ?? {}).some((name) => name.toLowerCase() === "authorization")) {
    throw new RangeError("token: metadata has an authorization, too");
  }
  if (typeof token === "function") {
    return token;
  }
  const fixed = checkedToken(token);
  return () => fixed;
}

/** The error never tells the token. */
function checkedToken(token: string): string {
  const trimmed = token.trim();
  if (!/^[ -~]+$/.test(trimmed)) {
    throw new RangeError("token: is empty, or not printable ASCII");
  }
  return trimmed;
}
