/** Retry policies: backoff with jitter, and when to give up. */

/** Exponential backoff with jitter; gives up after so many failures in a row. */
export interface RetryPolicy {
  /** How often in all; 1 never retries. */
  readonly attempts: number;
  /** Milliseconds to wait after the first failure, at most. */
  readonly initialMs: number;
  /** How much longer each further wait is. */
  readonly multiplier: number;
  /** Milliseconds that no wait exceeds, the server's own advice aside. */
  readonly maximumMs: number;
}

/** For calls that are answered at once: about a second and a half in all. */
export const RETRY: RetryPolicy = { attempts: 5, initialMs: 100, multiplier: 2, maximumMs: 5000 };

/** For watches and waits: about half a minute, the time that a server may take to restart. */
export const RECONNECT: RetryPolicy = { ...RETRY, attempts: 12 };

/**
 * A policy with some of its numbers changed.
 *
 * @throws RangeError if the numbers make no policy
 */
export function policyFrom(base: RetryPolicy, changes: Partial<RetryPolicy> = {}): RetryPolicy {
  const policy = { ...base, ...changes };
  if (!(policy.attempts >= 1)) {
    throw new RangeError("attempts is at least 1");
  }
  if (!(policy.initialMs >= 0 && policy.maximumMs >= 0 && policy.multiplier >= 1)) {
    throw new RangeError("waits are not negative, and do not shrink");
  }
  return policy;
}

/**
 * Milliseconds to wait after `failures` failures in a row (1, 2, …); undefined to give up.
 *
 * The upper half of each wait is left to chance, so that the clients of a server that restarts do not return all at
 * once. `advice` is what the server asked for, a lower bound.
 *
 * @param random gives numbers in [0, 1)
 */
export function delayAfter(
  policy: RetryPolicy,
  failures: number,
  random: () => number,
  advice = 0,
): number | undefined {
  if (failures >= policy.attempts) {
    return undefined;
  }
  const longest = Math.min(policy.maximumMs, policy.initialMs * policy.multiplier ** (failures - 1));
  return Math.max(longest * (0.5 + random() / 2), advice);
}
