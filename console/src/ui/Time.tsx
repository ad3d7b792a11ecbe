import { serverNow } from '../app/clock';
import { clock, utc } from '../model/format';
import { texts } from '../texts';

/** A time in the viewer's zone; the pointer shows it in UTC. */
export function Time({ at }: { at: number }) {
  if (!at) return <>{texts.common.none}</>;
  return (
    <time dateTime={new Date(at).toISOString()} title={utc(at)}>
      {clock(at, serverNow())}
    </time>
  );
}
