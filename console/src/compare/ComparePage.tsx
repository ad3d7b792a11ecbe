import { lazy, Suspense, useEffect, useMemo, useState, type SyntheticEvent } from 'react';
import { api } from '../api/client';
import { NotFound } from '../api/errors';
import { Link } from '../app/Link';
import { navigate, paths } from '../app/router';
import { duration } from '../model/format';
import { digestOutputs, pairs, type OutputDigests, type Pair, type Side } from '../model/compare';
import { isTerminated } from '../model/log';
import { TaskSession } from '../task/session';
import { useSessionVersion } from '../task/hooks';
import { texts } from '../texts';
import { ErrorBoundary } from '../ui/ErrorBoundary';
import { Icon } from '../ui/Icon';
import { Loading, Notice } from '../ui/Notice';
import { StatusBadge } from '../ui/StatusBadge';
import { ValueDifferences, OutputDifferences } from './ValueDifferences';

const Graph = lazy(() => import('../graph/CompareGraph'));

/** Beyond so many events the outputs are compared on demand only. */
const MOST_EVENTS = 5000;
const MOST_ROWS = 500;
const MOST_NODES = 500;

/** Two runs of a workflow side by side. */
export default function ComparePage({ one, other }: { one: string; other: string }) {
  useEffect(() => {
    document.title = `${texts.compare.title} · ${texts.product}`;
  }, []);
  return (
    <div className="page compare-page">
      <div className="page-head">
        <h1>{texts.compare.title}</h1>
        {one && other && (
          <Link className="button quiet" href={paths.compare(other, one)}>
            <Icon name="swap" size={14} /> {texts.compare.swap}
          </Link>
        )}
      </div>
      {one && other ? <Comparison key={`${one} ${other}`} one={one} other={other} /> : <Pick one={one} other={other} />}
    </div>
  );
}

function Pick({ one, other }: { one: string; other: string }) {
  const submit = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    navigate(paths.compare(field(data, 'a'), field(data, 'b')));
  };
  return (
    <form className="card compare-form" onSubmit={submit}>
      <label>
        {texts.compare.one}
        <input name="a" required className="mono" defaultValue={one} />
      </label>
      <label>
        {texts.compare.other}
        <input name="b" required className="mono" defaultValue={other} />
      </label>
      <button type="submit" className="primary">
        {texts.compare.submit}
      </button>
    </form>
  );
}

function field(data: FormData, name: string): string {
  const value = data.get(name);
  return typeof value === 'string' ? value.trim() : '';
}

interface Watched {
  session: TaskSession;
  digests: OutputDigests;
}

function watched(taskID: string, values: boolean): Watched {
  const digests: OutputDigests = new Map();
  const session: TaskSession = new TaskSession(taskID, { values, onChange: () => digestOutputs(session.log, digests) });
  return { session, digests };
}

/** Learns how large the two are, for of large ones the values are not asked for. */
function Comparison({ one, other }: { one: string; other: string }) {
  const [large, setLarge] = useState<boolean>();
  const [problem, setProblem] = useState<{ taskID: string; error: unknown }>();
  useEffect(() => {
    const ending = new AbortController();
    const sizes = [one, other].map((taskID) =>
      api.task(taskID, ending.signal).then(
        (task) => task.lastSequence,
        (error: unknown) => {
          if (!ending.signal.aborted) setProblem({ taskID, error });
          return 0;
        },
      ),
    );
    void Promise.all(sizes).then((found) => !ending.signal.aborted && setLarge(Math.max(...found) > MOST_EVENTS));
    return () => ending.abort();
  }, [one, other]);
  if (problem) {
    return (
      <Notice title={problem.error instanceof NotFound ? texts.task.notFound : (problem.error as Error).message}>
        <p className="mono">{problem.taskID}</p>
      </Notice>
    );
  }
  return large === undefined ? <Loading /> : <Compared one={one} other={other} large={large} />;
}

function Compared({ one, other, large }: { one: string; other: string; large: boolean }) {
  const sides = useMemo(() => [watched(one, !large), watched(other, !large)] as const, [one, other, large]);
  useEffect(() => {
    // One stream after the other: browsers allow few connections.
    const closeOne = sides[0].session.open();
    const closeOther = sides[1].session.open();
    return () => {
      closeOne();
      closeOther();
    };
  }, [sides]);
  const versionOne = useSessionVersion(sides[0].session);
  const versionOther = useSessionVersion(sides[1].session);
  const [onlyDifferent, setOnlyDifferent] = useState(false);
  const [open, setOpen] = useState('');

  const [left, right] = sides;
  const all = useMemo(
    () => pairs(left.session.log, right.session.log, large ? undefined : { one: left.digests, other: right.digests }),
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the logs grow in place; their versions say when
    [left, right, large, versionOne, versionOther],
  );
  const workflow = left.session.workflow;
  const sameWorkflow = !left.session.task || !right.session.task || left.session.task.schema === right.session.task.schema;
  const shown = onlyDifferent ? all.filter((pair) => pair.different) : all;
  const count = all.filter((pair) => pair.different).length;
  return (
    <>
      <div className="compare-heads">
        {sides.map(({ session }, index) => (
          <Head key={index} session={session} name={index === 0 ? texts.compare.one : texts.compare.other} />
        ))}
      </div>
      {!sameWorkflow && <p className="banner">{texts.compare.otherWorkflow}</p>}
      {workflow && workflow.all.size <= MOST_NODES && (
        <section className="compare-graph" aria-label={texts.graph.label}>
          <ErrorBoundary fallback={<p className="banner">{texts.graph.failed}</p>}>
            <Suspense fallback={<Loading />}>
              <Graph workflow={workflow} pairs={all} selected={open} onSelect={setOpen} />
            </Suspense>
          </ErrorBoundary>
        </section>
      )}
      <section className="card">
        <h2>{texts.compare.outputs}</h2>
        <OutputDifferences one={left.session} other={right.session} />
      </section>
      <div className="compare-tools">
        <span role="status">{count === 0 ? texts.compare.noDifferences : texts.compare.differences(count)}</span>
        <label className="check">
          <input type="checkbox" checked={onlyDifferent} onChange={(event) => setOnlyDifferent(event.target.checked)} /> {texts.compare.onlyDifferent}
        </label>
        {large && <span className="hint">{texts.compare.tooLarge}</span>}
      </div>
      <div className="table-wrap">
        <table className="compare-table">
          <thead>
            <tr>
              <th scope="col">{texts.compare.node}</th>
              <th scope="col">{texts.compare.one}</th>
              <th scope="col">{texts.compare.other}</th>
              <th scope="col" className="cell-number">
                Δ
              </th>
              <th scope="col">{texts.compare.outputs}</th>
            </tr>
          </thead>
          <tbody>
            {shown.slice(0, MOST_ROWS).map((pair) => (
              <PairRows key={pair.id} pair={pair} title={workflow?.all.get(pair.nodeID)?.title ?? pair.nodeID} open={open === pair.id} sides={[left.session, right.session]} onOpen={() => setOpen(open === pair.id ? '' : pair.id)} />
            ))}
          </tbody>
        </table>
      </div>
      {shown.length > MOST_ROWS && <p className="hint">{texts.compare.truncated}</p>}
    </>
  );
}

function Head({ session, name }: { session: TaskSession; name: string }) {
  const { log } = session;
  const started = log.changes.find((change) => change.status === 'processing')?.time;
  const ended = log.changes.find((change) => isTerminated(change.status))?.time;
  return (
    <div className="card compare-head">
      <span className="compare-side">{name}</span>
      <div>
        <Link href={paths.task(session.taskID)}>{session.name || texts.common.unnamed}</Link>
        <div className="task-id mono">{session.taskID}</div>
      </div>
      <StatusBadge status={session.status} />
      <span>{started !== undefined && ended !== undefined ? duration(ended - started) : texts.common.none}</span>
    </div>
  );
}

interface RowsProps {
  pair: Pair;
  title: string;
  open: boolean;
  sides: readonly [TaskSession, TaskSession];
  onOpen: () => void;
}

function PairRows({ pair, title, open, sides, onOpen }: RowsProps) {
  const { one, other } = pair;
  const change = one.duration !== undefined && other.duration !== undefined ? other.duration - one.duration : undefined;
  return (
    <>
      <tr className={pair.different ? 'different' : undefined} data-run={pair.id} data-different={pair.different}>
        <td>
          <button type="button" className="quiet fold" aria-expanded={open} onClick={onOpen}>
            <Icon name="chevron" size={12} /> {title}
            <span className="hint mono"> {pair.id}</span>
          </button>
        </td>
        <SideCell side={one} />
        <SideCell side={other} />
        <td className="cell-number">{change === undefined ? texts.common.none : `${change > 0 ? '+' : change < 0 ? '−' : '±'}${duration(Math.abs(change))}`}</td>
        <td>{pair.sameOutputs === undefined ? texts.common.none : pair.sameOutputs ? texts.compare.same : <strong>{texts.compare.different}</strong>}</td>
      </tr>
      {open && (
        <tr>
          <td colSpan={5}>
            <ValueDifferences one={sides[0]} other={sides[1]} pair={pair} />
          </td>
        </tr>
      )}
    </>
  );
}

function SideCell({ side }: { side: Side }) {
  if (!side.run) return <td className="hint">{texts.compare.notRun}</td>;
  return (
    <td>
      <StatusBadge status={side.status} /> {side.duration !== undefined && <span className="hint">{duration(side.duration)}</span>}
      {side.run.branch && <span className="branch-name mono">{side.run.branch}</span>}
    </td>
  );
}
