import { useEffect, useState } from 'react';
import { api } from '../api/client';
import type { Json } from '../api/json';
import type { Pair } from '../model/compare';
import { differences, type Difference } from '../model/diff';
import { useOfSession, useRunValues } from '../task/hooks';
import type { TaskSession } from '../task/session';
import { texts } from '../texts';
import { JsonTree } from '../ui/JsonTree';

/** Where the inputs and outputs of two runs of a node differ. */
export function ValueDifferences({ one, other, pair }: { one: TaskSession; other: TaskSession; pair: Pair }) {
  const left = useRunValues(one, pair.one.run, Infinity);
  const right = useRunValues(other, pair.other.run, Infinity);
  const errors = [pair.one.run?.error, pair.other.run?.error];
  if ((pair.one.run && left.state === 'loading') || (pair.other.run && right.state === 'loading')) return <p className="hint">{texts.common.loading}</p>;
  if (left.state === 'failed' || right.state === 'failed') return <p className="problem">{texts.task.valuesFailed}</p>;
  const values = [left, right].map((each) => (each.state === 'loaded' ? each.value : undefined));
  return (
    <>
      {errors.some(Boolean) && <Table title={texts.task.error} found={differences(errors[0] ?? undefined, errors[1] ?? undefined)} />}
      <Table title={texts.task.inputs} found={differences(values[0]?.inputs, values[1]?.inputs)} />
      <Table title={texts.task.outputs} found={differences(values[0]?.outputs, values[1]?.outputs)} />
    </>
  );
}

/** Where the outputs of two tasks differ. */
export function OutputDifferences({ one, other }: { one: TaskSession; other: TaskSession }) {
  const left = useOutputs(one);
  const right = useOutputs(other);
  if (!left.known || !right.known) return <p className="hint">{texts.common.loading}</p>;
  return <Table title="" found={differences(left.value, right.value)} />;
}

function useOutputs(session: TaskSession): { known: boolean; value: Json | undefined } {
  const ended = useOfSession(session, (each) => each.log.terminated);
  const succeeded = useOfSession(session, (each) => each.status === 'succeeded');
  const [found, setFound] = useState<{ value: Json | undefined }>();
  useEffect(() => {
    if (!succeeded) return undefined;
    const ending = new AbortController();
    api.result(session.taskID, ending.signal).then(
      (value) => setFound({ value }),
      () => !ending.signal.aborted && setFound({ value: undefined }),
    );
    return () => ending.abort();
  }, [session, succeeded]);
  if (found) return { known: true, value: found.value };
  return { known: ended && !succeeded, value: undefined };
}

function Table({ title, found }: { title: string; found: readonly Difference[] }) {
  return (
    <section className="differences">
      {title && <h3>{title}</h3>}
      {found.length === 0 ? (
        <p className="hint">{texts.compare.noDifferences}</p>
      ) : (
        <table>
          <thead className="visually-hidden">
            <tr>
              <th scope="col">{texts.compare.node}</th>
              <th scope="col">{texts.compare.one}</th>
              <th scope="col">{texts.compare.other}</th>
            </tr>
          </thead>
          <tbody>
            {found.map((each) => (
              <tr key={each.path}>
                <th scope="row" className="mono">
                  {each.path}
                </th>
                <Value value={each.one} side={texts.compare.one} />
                <Value value={each.other} side={texts.compare.other} />
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Value({ value, side }: { value: Json | undefined; side: string }) {
  return <td data-side={side}>{value === undefined ? <span className="hint">{texts.compare.absent}</span> : <JsonTree value={value} label={side} />}</td>;
}
