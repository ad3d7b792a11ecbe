/** Two runs side by side: their node runs have the same ids, for these are made from the structure of the workflow. */

import { toJson, type Json } from '../api/json';
import { isTerminated, type DisplayStatus, type Run, type TaskLog } from './log';

export interface Side {
  run: Run | undefined;
  status: DisplayStatus;
  /** Milliseconds; undefined: it has not run, or still does. */
  duration: number | undefined;
}

export interface Pair {
  id: string;
  nodeID: string;
  one: Side;
  other: Side;
  /** undefined: the outputs are not known. */
  sameOutputs: boolean | undefined;
  different: boolean;
}

/** All runs of both logs, in the order of the first, and then those that only the second has. */
export function pairs(one: TaskLog, other: TaskLog, outputs: { one: OutputDigests; other: OutputDigests } | undefined): Pair[] {
  const ids = new Set([...one.runs.keys(), ...other.runs.keys()]);
  return [...ids].map((id) => {
    const sides = [side(one.runs.get(id)), side(other.runs.get(id))] as const;
    const sameOutputs = outputs && sides[0].run && sides[1].run ? outputs.one.get(id) === outputs.other.get(id) : undefined;
    const different = sides[0].status !== sides[1].status || sides[0].run?.branch !== sides[1].run?.branch || sameOutputs === false;
    return { id, nodeID: (sides[0].run ?? sides[1].run)?.nodeID ?? id, one: sides[0], other: sides[1], sameOutputs, different };
  });
}

function side(run: Run | undefined): Side {
  const last = run?.changes.at(-1);
  if (!run || !last) return { run: undefined, status: 'skipped', duration: undefined };
  const started = run.changes.find((change) => change.status === 'processing')?.time;
  return { run, status: last.status, duration: isTerminated(last.status) && started !== undefined ? last.time - started : undefined };
}

/** A digest of the outputs of each run, by its id: the outputs themselves may be too large to keep. */
export type OutputDigests = Map<string, string>;

/** Takes the digests of outputs that a log has got, and lets the outputs go. */
export function digestOutputs(log: TaskLog, digests: OutputDigests): void {
  for (const run of log.runs.values()) {
    if (run.outputs !== undefined) {
      digests.set(run.id, digest(run.outputs));
      delete run.outputs;
    }
    delete run.inputs;
  }
}

/** The same for the same JSON, whatever the order of members. 2 × 32 bits, and the length. */
export function digest(value: Json): string {
  const text = toJson(sorted(value));
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  return `${text.length}:${high >>> 0}:${low >>> 0}`;
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((name) => [name, sorted(value[name] ?? null)]),
  );
}
