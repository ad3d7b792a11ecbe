import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { setAway } from '../app/connection';
import { useKeys } from '../app/keys';
import { Link } from '../app/Link';
import { paths, useQueryChange } from '../app/router';
import type { Choice } from '../model/moment';
import { texts } from '../texts';
import { ErrorBoundary } from '../ui/ErrorBoundary';
import { Loading, Notice } from '../ui/Notice';
import { SessionContext, useOfSession } from './hooks';
import { NodeList } from './NodeList';
import { NodePanel } from './NodePanel';
import { Scrubber } from './Scrubber';
import { TaskSession } from './session';
import { Summary } from './Summary';
import { TaskHeader } from './TaskHeader';
import { TaskPanel } from './TaskPanel';
import { Timeline } from './Timeline';

// It is large, and loads while the task does.
const graph = import('../graph/TaskGraph');
const Graph = lazy(() => graph);

/** The canvas is for so many nodes at most; beyond, they are a list. */
const MOST_NODES = 500;

type View = 'graph' | 'timeline' | 'details';

export default function TaskPage({ taskID, query }: { taskID: string; query: URLSearchParams }) {
  const session = useTaskSession(taskID, query);
  const problem = useOfSession(session, (each) => each.problem);
  const name = useOfSession(session, (each) => each.name);
  const away = useOfSession(session, (each) => each.stream === 'away');
  useEffect(() => setAway(away), [away]);
  useEffect(() => {
    document.title = `${name || taskID.slice(0, 8)} · ${texts.product}`;
  }, [name, taskID]);

  if (problem === 'not-found') {
    return (
      <Notice title={texts.task.notFound}>
        <p>{texts.task.notFoundHint}</p>
        <p className="mono">{taskID}</p>
        <Link href={paths.tasks} className="button">
          {texts.errors.toTasks}
        </Link>
      </Notice>
    );
  }
  return (
    <SessionContext value={session}>
      <Body session={session} query={query} />
    </SessionContext>
  );
}

function Body({ session, query }: { session: TaskSession; query: URLSearchParams }) {
  const change = useQueryChange();
  const problem = useOfSession(session, (each) => each.problem);
  const workflow = useOfSession(session, (each) => each.workflow);
  const without = useOfSession(session, (each) => each.withoutWorkflow);
  const nodeID = query.get('node') ?? '';
  const view = (query.get('view') ?? 'graph') as View;
  const [focus, setFocus] = useState({ nodeID: '', count: 0 });

  const select = useCallback(
    (id: string) => change({ node: id || undefined, ...(id && { view: query.get('view') === 'timeline' ? 'timeline' : undefined }) }),
    [change, query],
  );
  /** Shows a run: its node, in its iterations. */
  const selectRun = useCallback(
    (runID: string) => {
      const run = session.log.runs.get(runID);
      if (!run) return;
      session.chooseAll(Object.fromEntries(run.iterations.map((each) => [each.loopNodeID, each.index])));
      change({ node: run.nodeID, it: choiceText(session.choice) });
      setFocus((before) => ({ nodeID: run.nodeID, count: before.count + 1 }));
    },
    [session, change],
  );
  useKeys({
    Escape: () => select(''),
  });

  const node = workflow?.all.get(nodeID);
  const drawn = workflow && workflow.all.size <= MOST_NODES;
  return (
    <div className="task-page" data-view={view}>
      <TaskHeader session={session} />
      {problem === 'removed' && <p className="banner">{texts.task.removed}</p>}
      {typeof problem === 'object' && <p className="banner banner-bad">{problem.message}</p>}
      <Summary session={session} onShow={selectRun} />
      <div className="view-tabs" role="tablist">
        {(['graph', 'timeline', 'details'] as const).map((each) => (
          <button key={each} type="button" role="tab" aria-selected={view === each} onClick={() => change({ view: each === 'graph' ? undefined : each })}>
            {texts.task.views[each]}
          </button>
        ))}
      </div>
      <div className="task-grid">
        <section className="graph-pane" aria-label={texts.graph.label}>
          {drawn && (
            <ErrorBoundary fallback={<NodeList workflow={workflow} note={texts.graph.failed} selected={nodeID} onSelect={select} />}>
              <Suspense fallback={<Loading />}>
                <Graph workflow={workflow} selected={nodeID} focus={focus} onSelect={select} />
              </Suspense>
            </ErrorBoundary>
          )}
          {workflow && !drawn && <NodeList workflow={workflow} note={texts.graph.tooLarge(workflow.all.size)} selected={nodeID} onSelect={select} />}
          {!workflow && (without ? <Notice title={texts.task.noSchema} /> : <Loading />)}
        </section>
        <Scrubber session={session} />
        <section className="timeline-pane" aria-label={texts.timeline.label}>
          <Timeline session={session} selected={nodeID} onSelect={selectRun} />
        </section>
        <aside className="details-pane" aria-label={texts.task.views.details}>
          {node ? <NodePanel key={node.id} session={session} node={node} onClose={() => select('')} /> : <TaskPanel session={session} />}
        </aside>
      </div>
    </div>
  );
}

/** The session of a task, whose moment and iterations are in the address. */
function useTaskSession(taskID: string, query: URLSearchParams): TaskSession {
  const session = useMemo(() => new TaskSession(taskID), [taskID]);
  const first = useRef(query);
  const change = useQueryChange();
  useEffect(() => {
    const at = Number(first.current.get('at') ?? 0);
    const close = session.open(Number.isSafeInteger(at) && at > 0 ? at : undefined, readChoice(first.current.get('it') ?? ''));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const forget = session.subscribe(() => {
      // The address follows when the moment has come to rest: browsers limit how often it may change.
      clearTimeout(timer);
      timer = setTimeout(() => change({ at: session.position?.toString(), it: choiceText(session.choice) }), 400);
    });
    return () => {
      clearTimeout(timer);
      forget();
      close();
      setAway(false);
    };
  }, [session, change]);
  return session;
}

function choiceText(choice: Choice): string {
  return Object.entries(choice)
    .map(([loop, index]) => `${encodeURIComponent(loop)}:${index}`)
    .join(',');
}

function readChoice(text: string): Choice {
  const entries = text.split(',').flatMap((each): [string, number][] => {
    const colon = each.lastIndexOf(':');
    const index = Number(each.slice(colon + 1));
    if (colon <= 0 || !Number.isSafeInteger(index) || index < 0) return [];
    try {
      return [[decodeURIComponent(each.slice(0, colon)), index]];
    } catch {
      return [];
    }
  });
  return Object.fromEntries(entries);
}
