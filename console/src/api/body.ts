/** Reads the body of a response as it comes. */

/** Calls back with each piece that comes, until the end, or until the callback returns true.
 *
 * Rejects if the connection breaks, or is silent for `silence` milliseconds, which is longer than the server's heartbeat.
 */
export async function readBody(response: Response, silence: number, onBytes: (bytes: Uint8Array) => boolean): Promise<void> {
  if (!response.body) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await within(silence, reader.read());
      if (done || onBytes(value)) return;
    }
  } finally {
    reader.cancel().catch(() => undefined); // it is over either way
  }
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('silent')), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
