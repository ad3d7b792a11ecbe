import { utc } from '../model/format';
import type { Said } from '../model/log';
import { texts } from '../texts';
import { Time } from '../ui/Time';

const MOST = 200;

/** Messages, the newest last; of many, the newest. */
export function Messages({ messages }: { messages: readonly Said[] }) {
  if (messages.length === 0) return <p className="hint">{texts.task.noMessages}</p>;
  return (
    <ol className="messages">
      {messages.slice(-MOST).map((message) => (
        <li key={message.id} className={`message message-${message.type}`}>
          <span className="message-type">{message.type}</span>
          <span className="message-text">{message.text}</span>
          <span className="message-time" title={utc(message.time)}>
            <Time at={message.time} />
          </span>
        </li>
      ))}
    </ol>
  );
}
