/** Scripted servers and clients that end with the test. */

import type { TestContext } from "node:test";

import { createClient, type Client, type ClientOptions } from "../../src/index.js";
import { ScriptedServer } from "./scripted_server.js";

/** A server for one test. */
export async function serve(
  t: TestContext,
  methods: ConstructorParameters<typeof ScriptedServer>[0] = {},
): Promise<ScriptedServer> {
  const server = await new ScriptedServer(methods).start();
  t.after(() => server.stop());
  return server;
}

/** A client for one test, and the waits that it asked for: none takes any time. */
export function connect(
  t: TestContext,
  server: { readonly target: string },
  options: ClientOptions = {},
): { client: Client; waits: number[] } {
  const waits: number[] = [];
  const sleep = (ms: number, signal?: AbortSignal) => {
    signal?.throwIfAborted();
    waits.push(ms);
    return new Promise<void>((resolve) => setImmediate(resolve));
  };
  const client = createClient({ target: server.target, timing: { sleep, random: () => 0 }, ...options });
  t.after(() => client.close());
  return { client, waits };
}

/** All that an iteration gives. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) {
    found.push(item);
  }
  return found;
}
