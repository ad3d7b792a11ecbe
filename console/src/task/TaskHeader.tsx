import { useState } from 'react';
import { api } from '../api/client';
import { newID } from '../api/ids';
import { useNow } from '../app/clock';
import { Link } from '../app/Link';
import { navigate, paths } from '../app/router';
import { duration } from '../model/format';
import { maskedPaths } from '../model/forms';
import { isTerminated } from '../model/log';
import { texts } from '../texts';
import { CopyButton } from '../ui/CopyButton';
import { Dialog } from '../ui/Dialog';
import { Icon } from '../ui/Icon';
import { StatusBadge } from '../ui/StatusBadge';
import { useOfSession, useSessionVersion } from './hooks';
import type { TaskSession } from './session';

/** What a task is and does, and what can be done with it. */
export function TaskHeader({ session }: { session: TaskSession }) {
  const status = useOfSession(session, (each) => each.status);
  const task = useOfSession(session, (each) => each.task);
  const terminated = useOfSession(session, (each) => each.log.terminated);
  const [asking, setAsking] = useState(false);
  const [comparing, setComparing] = useState(false);
  const [error, setError] = useState('');

  const act = async (work: () => Promise<unknown>) => {
    setError('');
    try {
      await work();
    } catch (failure) {
      setError((failure as Error).message);
    }
  };
  const again = async () => {
    if (!task) return;
    const workflow: unknown = session.workflow?.json;
    if (maskedPaths(task.inputs).length > 0 || maskedPaths(workflow as Parameters<typeof maskedPaths>[0]).length > 0) {
      navigate(paths.again(session.taskID)); // what the server hides must be put in first
      return;
    }
    const { taskID } = await api.run({
      schema: task.schema,
      inputs: task.inputs,
      labels: task.labels,
      requestID: newID(),
      ...(task.displayName && { displayName: task.displayName }),
    });
    navigate(paths.task(taskID));
  };

  return (
    <header className="task-head">
      <div className="task-title">
        <StatusBadge status={status} />
        <h1>{session.name || texts.common.unnamed}</h1>
        <span className="task-id mono" title={session.taskID}>
          {session.taskID}
        </span>
        <CopyButton text={() => session.taskID} />
      </div>
      <Durations session={session} />
      <div className="task-labels">
        {Object.entries(task?.labels ?? {}).map(([key, value]) => (
          <Link key={key} className="label-chip" href={`/?label=${encodeURIComponent(`${key}=${value}`)}`}>
            {key}={value}
          </Link>
        ))}
      </div>
      <div className="task-actions">
        {!terminated && (
          <button type="button" className="danger" onClick={() => setAsking(true)}>
            {texts.task.cancel}
          </button>
        )}
        <button type="button" disabled={!task} onClick={() => void act(again)}>
          <Icon name="again" size={14} /> {texts.task.again}
        </button>
        <Link className="button quiet" href={paths.again(session.taskID)} aria-disabled={!task}>
          {texts.task.againEdited}
        </Link>
        <button type="button" className="quiet" onClick={() => setComparing(true)}>
          {texts.task.compare}
        </button>
      </div>
      {error && (
        <p className="problem" role="alert">
          {error}
        </p>
      )}
      {asking && (
        <Dialog
          title={texts.task.cancelAsk}
          onClose={() => setAsking(false)}
          actions={
            <>
              <button type="button" onClick={() => setAsking(false)}>
                {texts.tasks.keep}
              </button>
              <button
                type="button"
                className="danger"
                onClick={() => {
                  setAsking(false);
                  void act(() => api.cancel(session.taskID));
                }}
              >
                {texts.task.cancel}
              </button>
            </>
          }
        >
          <p>{texts.tasks.cancelHint}</p>
        </Dialog>
      )}
      {comparing && <CompareDialog taskID={session.taskID} onClose={() => setComparing(false)} />}
    </header>
  );
}

function Durations({ session }: { session: TaskSession }) {
  useSessionVersion(session);
  const { log, createTime } = session;
  const ticking = !log.terminated && session.live;
  const now = useNow(ticking);
  const at = ticking ? now : log.timeOf(session.at);
  const started = log.changes.find((change) => change.status === 'processing')?.time;
  const ended = log.changes.find((change) => isTerminated(change.status))?.time;
  const until = Math.min(ended ?? at, at);
  const queued = createTime ? Math.max(0, Math.min(started ?? until, at) - createTime) : 0;
  return (
    <dl className="task-times">
      <div>
        <dt>{texts.task.queued}</dt>
        <dd>{duration(queued)}</dd>
      </div>
      {started !== undefined && started <= at && (
        <div>
          <dt>{ended !== undefined && ended <= at ? texts.task.ran : texts.task.running}</dt>
          <dd>{duration(until - started)}</dd>
        </div>
      )}
    </dl>
  );
}

function CompareDialog({ taskID, onClose }: { taskID: string; onClose: () => void }) {
  const [other, setOther] = useState('');
  return (
    <Dialog title={texts.compare.title} onClose={onClose}>
      <form
        className="compare-form"
        onSubmit={(event) => {
          event.preventDefault();
          navigate(paths.compare(taskID, other.trim()));
        }}
      >
        <label>
          {texts.task.compareWith}
          <input autoFocus required className="mono" value={other} onChange={(event) => setOther(event.target.value)} />
        </label>
        <button type="submit" className="primary">
          {texts.compare.submit}
        </button>
      </form>
    </Dialog>
  );
}
