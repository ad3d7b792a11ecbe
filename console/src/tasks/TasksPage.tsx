import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { api } from '../api/client';
import type { TaskSummary } from '../api/types';
import { useKeys } from '../app/keys';
import { Link } from '../app/Link';
import { navigate, paths, useQueryChange } from '../app/router';
import { filterOf } from '../model/tasks';
import { texts } from '../texts';
import { Dialog } from '../ui/Dialog';
import { Icon } from '../ui/Icon';
import { Notice } from '../ui/Notice';
import { Filters } from './Filters';
import { TaskRow } from './TaskRow';
import { useTasks } from './useTasks';

const TOP = 80;
const AT_ONCE = 4;

/** The tasks of the server, newest first, as they change. */
export function TasksPage({ query }: { query: URLSearchParams }) {
  const change = useQueryChange();
  const filter = filterOf(query);
  const [paused, setPaused] = useState(false);
  const tasks = useTasks(filter, paused, () => window.scrollY < TOP);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [cursor, setCursor] = useState('');
  const [asking, setAsking] = useState(false);
  const [outcome, setOutcome] = useState('');
  const search = useRef<HTMLInputElement>(null);
  const rows = useRef<HTMLTableSectionElement>(null);

  useEffect(() => {
    document.title = `${texts.tasks.title} · ${texts.product}`;
  }, []);

  const { shown } = tasks;
  const chosen = useMemo(() => shown.filter((task) => selected.has(task.taskID)), [shown, selected]);
  const stoppable = chosen.filter((task) => !task.workflowStatus.terminated);
  const filtered = filter.statuses.length > 0 || filter.labels.length > 0 || filter.name !== '' || filter.created !== '';

  const move = (step: number) => {
    const at = shown.findIndex((task) => task.taskID === cursor);
    const next = shown[Math.min(Math.max(at + step, 0), shown.length - 1)];
    if (!next) return;
    setCursor(next.taskID);
    rows.current?.querySelector<HTMLElement>(`[data-task="${CSS.escape(next.taskID)}"] a`)?.focus();
  };
  const toggle = useCallback((taskID: string) => {
    setSelected((before) => {
      const next = new Set(before);
      if (!next.delete(taskID)) next.add(taskID);
      return next;
    });
  }, []);
  const addLabel = useCallback(
    (label: string) => {
      const labels = new URLSearchParams(window.location.search).getAll('label');
      change({ label: [...new Set([...labels, label])] });
    },
    [change],
  );
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    x: () => cursor && toggle(cursor),
    '/': (event) => {
      event.preventDefault();
      search.current?.focus();
    },
    Escape: () => {
      if (document.activeElement === search.current) search.current?.blur();
      else setSelected(new Set());
    },
  });

  const cancelAll = async () => {
    setAsking(false);
    const { done, ended, failed, why } = await cancel(stoppable);
    setSelected(new Set());
    setOutcome(failed > 0 ? texts.tasks.cancelFailed(failed, why) : texts.tasks.canceled(done, ended));
  };

  return (
    <div className="page tasks-page">
      <div className="page-head">
        <h1>{texts.tasks.title}</h1>
        <button type="button" className="quiet live-toggle" aria-pressed={!paused} onClick={() => setPaused(!paused)}>
          <span className={paused ? 'dot' : 'dot dot-live'} aria-hidden="true" />
          {paused ? texts.tasks.paused : texts.tasks.live}
          <Icon name={paused ? 'play' : 'pause'} size={12} />
          <span className="visually-hidden">{paused ? texts.tasks.resume : texts.tasks.pause}</span>
        </button>
        <Link href={paths.run} className="button primary">
          {texts.tasks.runOne}
        </Link>
      </div>
      <Filters filter={filter} search={search} onChange={change} />
      <div role="status" className="outcome">
        {outcome}
      </div>
      {selected.size > 0 && (
        <div className="selection-bar">
          <span>{texts.tasks.selected(chosen.length)}</span>
          <button type="button" className="danger" disabled={stoppable.length === 0} onClick={() => setAsking(true)}>
            {texts.tasks.cancelSelected(stoppable.length)}
          </button>
          {chosen.length === 2 && (
            <Link className="button" href={paths.compare(chosen[1]?.taskID ?? '', chosen[0]?.taskID ?? '')}>
              {texts.tasks.compare}
            </Link>
          )}
          <button type="button" className="quiet" onClick={() => setSelected(new Set())}>
            {texts.tasks.clearSelection}
          </button>
        </div>
      )}
      {tasks.fresh > 0 && (
        <button
          type="button"
          className="fresh-pill"
          onClick={() => {
            tasks.reveal();
            window.scrollTo({ top: 0, behavior: 'smooth' });
          }}
        >
          <Icon name="up" size={12} /> {texts.tasks.fresh(tasks.fresh)}
        </button>
      )}
      {shown.length > 0 && (
        <div className="table-wrap">
          <table className="tasks">
            <thead>
              <tr>
                <th scope="col" className="cell-select">
                  <input
                    type="checkbox"
                    aria-label={texts.tasks.selectAll}
                    checked={chosen.length === shown.length}
                    onChange={(event) => setSelected(new Set(event.target.checked ? shown.map((task) => task.taskID) : []))}
                  />
                </th>
                <th scope="col">{texts.tasks.columns.status}</th>
                <th scope="col">{texts.tasks.columns.name}</th>
                <th scope="col" className="cell-labels">{texts.tasks.columns.labels}</th>
                <th scope="col">{texts.tasks.columns.created}</th>
                <th scope="col" className="cell-number">{texts.tasks.columns.queued}</th>
                <th scope="col" className="cell-number">{texts.tasks.columns.ran}</th>
              </tr>
            </thead>
            <tbody ref={rows}>
              {shown.map((task) => (
                <TaskRow
                  key={task.taskID}
                  task={task}
                  selected={selected.has(task.taskID)}
                  current={cursor === task.taskID}
                  onToggle={toggle}
                  onLabel={addLabel}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <div className="list-end">
        {tasks.error && <p className="problem" role="alert">{tasks.error.message}</p>}
        {!tasks.loading && !tasks.error && shown.length === 0 && (
          <Empty filtered={filtered} more={tasks.more} onClear={() => navigate(paths.tasks, { replace: true })} />
        )}
        {filtered && tasks.searched > 0 && (
          <p className="hint" role="status">
            {tasks.searching ? texts.tasks.scanning(tasks.searched) : texts.tasks.searched(tasks.searched, !tasks.more)}
          </p>
        )}
        {tasks.more && !tasks.loading && (
          <button type="button" onClick={tasks.loadMore}>
            {filter.name ? texts.tasks.searchOn : texts.tasks.more}
          </button>
        )}
        {!filtered && !tasks.more && !tasks.loading && shown.length > 0 && <p className="hint">{texts.tasks.end}</p>}
      </div>
      {asking && (
        <Dialog
          title={texts.tasks.cancelAsk(stoppable.length)}
          onClose={() => setAsking(false)}
          actions={
            <>
              <button type="button" onClick={() => setAsking(false)}>
                {texts.tasks.keep}
              </button>
              <button type="button" className="danger" onClick={() => void cancelAll()}>
                {texts.tasks.cancelSelected(stoppable.length)}
              </button>
            </>
          }
        >
          <p>{texts.tasks.cancelHint}</p>
        </Dialog>
      )}
    </div>
  );
}


function Empty({ filtered, more, onClear }: { filtered: boolean; more: boolean; onClear: () => void }) {
  if (!filtered) {
    return (
      <Notice title={texts.tasks.empty}>
        <p>{texts.tasks.emptyHint}</p>
        <Link href={paths.run} className="button primary">
          {texts.tasks.runOne}
        </Link>
      </Notice>
    );
  }
  return (
    <Notice title={more ? texts.tasks.noMatchYet : texts.tasks.noMatch}>
      <button type="button" onClick={onClear}>
        {texts.tasks.clear}
      </button>
    </Notice>
  );
}

/** Cancels tasks, a few at a time. */
async function cancel(tasks: readonly TaskSummary[]): Promise<{ done: number; ended: number; failed: number; why: string }> {
  const found = { done: 0, ended: 0, failed: 0, why: '' };
  const waiting = [...tasks];
  const work = async () => {
    for (let task = waiting.pop(); task; task = waiting.pop()) {
      try {
        if ((await api.cancel(task.taskID)).success) found.done += 1;
        else found.ended += 1;
      } catch (error) {
        found.failed += 1;
        found.why = (error as Error).message;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return found;
}
