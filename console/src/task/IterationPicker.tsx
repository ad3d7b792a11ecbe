import { texts } from '../texts';
import { Icon } from '../ui/Icon';
import { useNodeState, useOfSession } from './hooks';
import type { TaskSession } from './session';

/** Which iteration of a loop is shown. */
export function IterationPicker({ session, loopID, named = false }: { session: TaskSession; loopID: string; named?: boolean }) {
  const { iterations, shown } = useNodeState(session, loopID);
  const following = useOfSession(session, (each) => each.choice[loopID] === undefined);
  const title = session.workflow?.all.get(loopID)?.title ?? loopID;
  if (iterations === 0) return <div className="picker hint">{texts.graph.noIterations}</div>;
  const label = named ? `${texts.graph.pick}, ${title}` : texts.graph.pick;
  return (
    <div className="picker" role="group" aria-label={label} data-loop={loopID}>
      {named && <span className="picker-title">{title}</span>}
      <button type="button" className="quiet icon-button" aria-label={texts.graph.previous} title={texts.graph.previous} disabled={shown <= 0} onClick={() => session.choose(loopID, shown - 1)}>
        <Icon name="previous" size={14} />
      </button>
      <input
        type="number"
        min={0}
        max={iterations - 1}
        aria-label={label}
        value={Math.max(shown, 0)}
        onChange={(event) => {
          const index = event.target.valueAsNumber;
          if (Number.isInteger(index) && index >= 0) session.choose(loopID, Math.min(index, iterations - 1));
        }}
      />
      <span className="hint">/ {iterations - 1}</span>
      <button type="button" className="quiet icon-button" aria-label={texts.graph.next} title={texts.graph.next} disabled={shown >= iterations - 1} onClick={() => session.choose(loopID, shown + 1)}>
        <Icon name="next" size={14} />
      </button>
      <button type="button" className="quiet follow" aria-pressed={following} title={texts.graph.following} onClick={() => session.choose(loopID, following ? shown : undefined)}>
        <Icon name="follow" size={14} /> {texts.graph.follow}
      </button>
    </div>
  );
}
