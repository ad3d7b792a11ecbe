import { useEffect, useRef } from 'react';
import { useNow } from '../app/clock';
import { duration } from '../model/format';
import { isTerminated } from '../model/log';
import type { FlowNode } from '../model/workflow';
import { texts } from '../texts';
import { Icon, typeIcon } from '../ui/Icon';
import { JsonTree } from '../ui/JsonTree';
import { StatusBadge } from '../ui/StatusBadge';
import { Time } from '../ui/Time';
import { useNodeState, useRunValues, useSessionVersion } from './hooks';
import { IterationPicker } from './IterationPicker';
import { Messages } from './Messages';
import type { TaskSession } from './session';

/** One node at the moment that is shown: what it took in, gave and said. */
export function NodePanel({ session, node, onClose }: { session: TaskSession; node: FlowNode; onClose: () => void }) {
  useSessionVersion(session);
  const { status, run } = useNodeState(session, node.id);
  const { at, log } = session;
  const values = useRunValues(session, run, at);
  const changes = run?.changes.filter((change) => change.sequence <= at) ?? [];
  const started = changes.find((change) => change.status === 'processing')?.time;
  const ended = changes.find((change) => isTerminated(change.status))?.time;
  const text = run && session.live && status === 'processing' ? log.texts.get(run.id) : undefined;
  const messages = log.messages.filter((message) => message.nodeID === node.id && message.sequence <= at);
  const settings = Object.fromEntries(Object.entries(node.data).filter(([name]) => !['title', 'inputs', 'outputs'].includes(name)));
  const pickers = [...node.loops, ...(node.inner ? [node.id] : [])];
  return (
    <div className="panel node-panel">
      <div className="panel-head">
        <span className={`type-icon type-${node.type}`}>
          <Icon name={typeIcon(node.type)} />
        </span>
        <div>
          <h2>{node.title}</h2>
          <span className="hint mono">
            {node.type} · {run?.id ?? node.id}
          </span>
        </div>
        <button type="button" className="quiet icon-button" aria-label={texts.common.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <div className="panel-status">
        <StatusBadge status={status} />
        {started !== undefined && <NodeDuration started={started} ended={ended} until={session.live ? undefined : log.timeOf(at)} />}
      </div>
      {pickers.map((loop) => (
        <IterationPicker key={loop} session={session} loopID={loop} named={pickers.length > 1} />
      ))}
      {!run && <p className="hint">{status === 'skipped' ? texts.task.skippedHint : texts.task.notRun}</p>}
      {run?.error && changes.some((change) => change.status === 'failed') && (
        <section className="panel-error" role="alert">
          <h3>{texts.task.error}</h3>
          <p>{run.error}</p>
        </section>
      )}
      {text !== undefined && <Growing text={text} />}
      {run?.branch && ended !== undefined && (
        <section>
          <h3>{texts.task.branch}</h3>
          <p>
            <span className="branch-name mono">{run.branch}</span> {node.ports.find((port) => port.id === run.branch)?.label}
          </p>
        </section>
      )}
      {run && values.state === 'failed' && <p className="problem">{texts.task.valuesFailed}</p>}
      {run && values.state === 'loading' && <p className="hint">{texts.common.loading}</p>}
      {run && values.state === 'loaded' && (
        <>
          {ended !== undefined && values.value.outputs !== undefined && (
            <section>
              <h3>{texts.task.outputs}</h3>
              <JsonTree key={run.id} value={values.value.outputs} label={texts.task.outputs} />
            </section>
          )}
          {values.value.inputs !== undefined && (
            <section>
              <h3>{texts.task.inputs}</h3>
              <JsonTree key={run.id} value={values.value.inputs} label={texts.task.inputs} />
            </section>
          )}
        </>
      )}
      {messages.length > 0 && (
        <section>
          <h3>{texts.task.messages}</h3>
          <Messages messages={messages} />
        </section>
      )}
      {run && (
        <dl className="facts">
          <div>
            <dt>{texts.task.started}</dt>
            <dd>
              <Time at={started ?? 0} />
            </dd>
          </div>
          {ended !== undefined && (
            <div>
              <dt>{texts.task.ended}</dt>
              <dd>
                <Time at={ended} />
              </dd>
            </div>
          )}
        </dl>
      )}
      {Object.keys(settings).length > 0 && (
        <details>
          <summary>{texts.task.data}</summary>
          <JsonTree value={settings} label={texts.task.data} />
        </details>
      )}
    </div>
  );
}

function NodeDuration({ started, ended, until }: { started: number; ended: number | undefined; until: number | undefined }) {
  const now = useNow(ended === undefined && until === undefined);
  return <span>{duration((ended ?? until ?? now) - started)}</span>;
}

/** Text as it comes, with its end in sight. */
function Growing({ text }: { text: string }) {
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  return (
    <section>
      <h3>{texts.task.answer}</h3>
      <pre ref={box} className="growing" data-testid="growing-text">
        {text}
        <span className="cursor" aria-hidden="true" />
      </pre>
    </section>
  );
}
