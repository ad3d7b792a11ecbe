/** The certificate of a gateway, which is read again when it is renewed. */

import { readFileSync, statSync } from "node:fs";
import type { Server } from "node:https";
import { createSecureContext } from "node:tls";

/** PEM files of a gateway's own certificate, and of its private key. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** What TLS takes of them. */
export interface Pair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

const INTERVAL_MS = 1000;

/**
 * A certificate and its key.
 *
 * @throws Error if they cannot be read, or do not fit
 */
export function readPair({ certificate, key }: CertificateFiles): Pair {
  const pair = { cert: readFileSync(certificate), key: readFileSync(key) };
  createSecureContext(pair);
  return pair;
}

/** Read them again whenever they change, until what this gives is called. Files that do not fit change nothing. */
export function keepPair(
  server: Server,
  files: CertificateFiles,
  log: (text: string, error: unknown) => void,
): () => void {
  let seen = stateOf(files);
  let unread = false;
  const timer = setInterval(() => {
    const state = stateOf(files);
    const changed = state !== seen;
    if (!changed && !unread) {
      return;
    }
    seen = state;
    try {
      server.setSecureContext({ ...readPair(files), minVersion: MIN_VERSION });
      unread = false;
    } catch (error) {
      unread = true; // such as for want of file descriptors: it is tried again
      if (changed) {
        log("changed files cannot be used: what was read before stays", error);
      }
    }
  }, INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** The oldest version of TLS that is spoken. */
export const MIN_VERSION = "TLSv1.2";

/** Changes whenever one of the files does. */
function stateOf({ certificate, key }: CertificateFiles): string {
  return [certificate, key]
    .map((path) => {
      const found = statSync(path, { bigint: true, throwIfNoEntry: false });
      return found === undefined ? "none" : [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(":");
    })
    .join(" ");
}
