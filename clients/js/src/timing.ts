/** Deadlines, waits and signals. */

import { setTimeout as wait } from "node:timers/promises";

import { durationFromMs, type Duration } from "@bufbuild/protobuf/wkt";

import { deadlineExceeded } from "./status.js";

/** The longest timeout that a call can carry: gRPC's header has room for eight digits. About 27 hours. */
const LONGEST_TIMEOUT_MS = 99_999_999;
const NEAR_MS = 1000;

/** Where time and chance come from. */
export interface Timing {
  /** Let so many milliseconds pass; ends early, by throwing the signal's reason, if that is aborted. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
}

/** Real time and real chance. */
export const REAL: Timing = {
  sleep: async (ms, signal) => {
    try {
      await wait(ms, undefined, signal && { signal });
    } catch (error) {
      signal?.throwIfAborted(); // the signal's own reason, where the timer says AbortError
      throw error;
    }
  },
  random: Math.random,
  clock: () => performance.now(),
};

/** A duration of the contract, to the millisecond. */
export function durationFrom(ms: number): Duration {
  if (!Number.isFinite(ms)) {
    throw new RangeError(`a duration is a number of milliseconds, not ${ms}`);
  }
  return durationFromMs(Math.ceil(ms));
}

/** When a call, its retries included, must have ended. */
export class Deadline {
  private readonly end: number;

  constructor(
    timeoutMs: number | undefined,
    private readonly clock: () => number,
  ) {
    if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
      throw new RangeError(`timeoutMs is a number of milliseconds, not ${timeoutMs}`);
    }
    this.end = clock() + (timeoutMs ?? Infinity);
  }

  /** Whether a server had reason to answer before what was waited for: it leaves the answer some time to arrive. */
  get near(): boolean {
    return this.remaining <= NEAR_MS;
  }

  /** Milliseconds that are left; Infinity if there is no deadline. */
  get remaining(): number {
    return Math.max(this.end - this.clock(), 0);
  }

  /**
   * The timeout for one call.
   *
   * @throws DeadlineExceededError if nothing is left
   */
  forCall(): { timeoutMs?: number } {
    const { remaining } = this;
    if (remaining === 0) {
      throw deadlineExceeded();
    }
    return remaining === Infinity ? {} : { timeoutMs: Math.min(Math.ceil(remaining), LONGEST_TIMEOUT_MS) };
  }
}

/**
 * A controller that is aborted with any of the signals, though not with their reasons: the transport tells the server
 * of a cancellation only where it sees an AbortError. `release` it, for signals that live long.
 */
export class LinkedController extends AbortController {
  private readonly releases: (() => void)[] = [];

  constructor(...signals: (AbortSignal | undefined)[]) {
    super();
    for (const signal of signals) {
      if (signal?.aborted) {
        this.abort();
      } else if (signal !== undefined) {
        const onAbort = () => this.abort();
        signal.addEventListener("abort", onAbort, { once: true });
        this.releases.push(() => signal.removeEventListener("abort", onAbort));
      }
    }
  }

  /** Forget the signals. */
  release(): void {
    for (const release of this.releases.splice(0)) {
      release();
    }
  }
}
