/** Inputs and outputs of runs, asked for when somebody looks at them: a task's values may be far more than a page can hold. */

import { eventAt } from '../api/watch';
import type { Json } from '../api/json';
import type { Run } from '../model/log';

export interface RunValues {
  inputs: Json | undefined;
  outputs: Json | undefined;
}

const KEPT = 40;

export class Values {
  /** By run and the sequences that were asked. */
  readonly #known = new Map<string, Promise<RunValues>>();

  constructor(readonly taskID: string) {}

  /** What a run took in and gave, as far as it has come by a sequence. */
  of(run: Run, at: number, signal: AbortSignal): Promise<RunValues> {
    if (run.inputs !== undefined || run.outputs !== undefined) return Promise.resolve({ inputs: run.inputs, outputs: run.outputs });
    const sequences = [...new Set(run.changes.map((change) => change.sequence))].filter((sequence) => sequence <= at);
    const key = `${run.id} ${sequences.join()}`;
    const known = this.#known.get(key);
    if (known) {
      this.#known.delete(key);
      this.#known.set(key, known); // the last used are kept
      return known;
    }
    const asked = this.#ask(sequences, signal);
    this.#known.set(key, asked);
    asked.catch(() => this.#known.delete(key));
    const oldest = this.#known.keys().next().value;
    if (this.#known.size > KEPT && oldest !== undefined) this.#known.delete(oldest);
    return asked;
  }

  async #ask(sequences: readonly number[], signal: AbortSignal): Promise<RunValues> {
    const events = await Promise.all(sequences.map((sequence) => eventAt(this.taskID, sequence, signal)));
    const values: RunValues = { inputs: undefined, outputs: undefined };
    for (const event of events) {
      if (event?.type !== 'node_status_changed') continue;
      values.inputs = event.snapshot.inputs ?? values.inputs;
      values.outputs = event.snapshot.outputs ?? values.outputs;
    }
    return values;
  }
}
