import { useEffect, useState } from 'react';
import { api } from '../api/client';
import type { JsonObject } from '../api/json';
import { changeAt, type Run, type TaskLog } from '../model/log';
import { texts } from '../texts';
import { Icon } from '../ui/Icon';
import { JsonTree } from '../ui/JsonTree';
import { useSessionVersion, type Loaded } from './hooks';
import type { TaskSession } from './session';

/** What one wants to know first: why a task failed, or what it gave. */
export function Summary({ session, onShow }: { session: TaskSession; onShow: (runID: string) => void }) {
  useSessionVersion(session);
  const { status } = session;
  if (status === 'failed') return <Failure session={session} onShow={onShow} />;
  return null;
}

function Failure({ session, onShow }: { session: TaskSession; onShow: (runID: string) => void }) {
  const { log, at } = session;
  const run = failedRun(log, at);
  const said = log.messages.filter((message) => message.type === 'error' && message.sequence <= at);
  const title = run ? (session.workflow?.all.get(run.nodeID)?.title ?? run.nodeID) : '';
  const text = run?.error || said.at(0)?.text || '';
  return (
    <div className="failure" role="alert">
      <Icon name="cross" />
      <div className="failure-text">
        {run && <strong>{texts.task.failedNode(title)}</strong>}
        <span>{text}</span>
        {said.length > 1 && (
          <ul>
            {said
              .filter((message) => message.text !== text)
              .slice(0, 3)
              .map((message) => (
                <li key={message.id}>{message.text}</li>
              ))}
          </ul>
        )}
      </div>
      {run && (
        <button type="button" onClick={() => onShow(run.id)}>
          {texts.task.showNode}
        </button>
      )}
    </div>
  );
}

/** The innermost run that failed first: those around it failed because of it. */
export function failedRun(log: TaskLog, at: number): Run | undefined {
  let found: Run | undefined;
  let first = Infinity;
  for (const run of log.runs.values()) {
    const change = changeAt(run.changes, at);
    if (change?.status !== 'failed') continue;
    const depth = run.iterations.length;
    if (change.sequence < first || (change.sequence === first && found && depth > found.iterations.length)) {
      found = run;
      first = change.sequence;
    }
  }
  return found;
}

/** The outputs of a task that has succeeded. */
export function Outputs({ session }: { session: TaskSession }) {
  useSessionVersion(session);
  const succeeded = session.status === 'succeeded';
  const [loaded, setLoaded] = useState<Loaded<JsonObject>>({ state: 'loading' });
  const known = session.log.outputs;
  useEffect(() => {
    if (!succeeded || known) return undefined;
    const ending = new AbortController();
    api.result(session.taskID, ending.signal).then(
      (value) => setLoaded({ state: 'loaded', value }),
      () => !ending.signal.aborted && setLoaded({ state: 'failed' }),
    );
    return () => ending.abort();
  }, [session, succeeded, known]);
  if (!succeeded) return <p className="hint">{session.log.terminated && session.live ? texts.task.noOutputs : texts.task.noOutputsYet}</p>;
  if (known) return <JsonTree value={known} label={texts.task.outputs} />;
  if (loaded.state === 'loading') return <p className="hint">{texts.common.loading}</p>;
  if (loaded.state === 'failed') return <p className="problem">{texts.task.valuesFailed}</p>;
  return <JsonTree value={loaded.value} label={texts.task.outputs} />;
}
