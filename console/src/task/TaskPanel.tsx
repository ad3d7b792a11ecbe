import { duration } from '../model/format';
import { texts } from '../texts';
import { JsonTree } from '../ui/JsonTree';
import { Time } from '../ui/Time';
import { useOfSession, useSessionVersion } from './hooks';
import { Messages } from './Messages';
import type { TaskSession } from './session';
import { Outputs } from './Summary';

/** What there is to show of a task as a whole. */
export function TaskPanel({ session }: { session: TaskSession }) {
  const task = useOfSession(session, (each) => each.task);
  return (
    <div className="panel">
      <h2>{texts.task.overview}</h2>
      <section>
        <h3>{texts.task.outputs}</h3>
        <Outputs session={session} />
      </section>
      {task && (
        <section>
          <h3>{texts.task.inputs}</h3>
          <JsonTree value={task.inputs} label={texts.task.inputs} />
        </section>
      )}
      <AllMessages session={session} />
      <dl className="facts">
        <div>
          <dt>{texts.task.created}</dt>
          <dd>
            <Time at={session.createTime} />
          </dd>
        </div>
        {task?.timeout !== undefined && (
          <div>
            <dt>{texts.task.timeout}</dt>
            <dd>{duration(task.timeout)}</dd>
          </div>
        )}
      </dl>
    </div>
  );
}

function AllMessages({ session }: { session: TaskSession }) {
  useSessionVersion(session);
  const messages = session.log.messages.filter((message) => message.sequence <= session.at);
  return (
    <section>
      <h3>{texts.task.messages}</h3>
      <Messages messages={messages} />
    </section>
  );
}
