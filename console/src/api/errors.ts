/** What can go wrong with a request:
 *
 *     RequestFailed
 *     ├── ServerAway     no answer, or one that says: try again
 *     ├── SignedOut      the server wants a credential
 *     └── NotFound       no such task, or removed
 */

export class RequestFailed extends Error {
  override name = 'RequestFailed';

  constructor(
    message: string,
    /** The service's reason, such as SCHEMA_INVALID. */
    readonly code: string,
    readonly status: number,
    /** All that is wrong, where it is more than the message says. */
    readonly problems: readonly string[] = [],
  ) {
    super(message);
  }
}

export class ServerAway extends RequestFailed {
  override name = 'ServerAway';

  constructor(
    message: string,
    code = 'UNAVAILABLE',
    status = 0,
    /** Milliseconds until another try makes sense. */
    readonly retryAfter = 0,
  ) {
    super(message, code, status);
  }
}

export class SignedOut extends RequestFailed {
  override name = 'SignedOut';
}

export class NotFound extends RequestFailed {
  override name = 'NotFound';
}

/** What the body of an error says to people. */
export function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === 'string' ? message : body;
  } catch {
    return body;
  }
}
