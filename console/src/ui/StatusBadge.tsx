import type { DisplayStatus } from '../model/log';
import { texts } from '../texts';
import { Icon, type IconName } from './Icon';

const ICONS: Record<DisplayStatus, IconName | undefined> = {
  pending: 'clock',
  processing: undefined, // a ring that turns
  succeeded: 'check',
  failed: 'cross',
  canceled: 'minus',
  idle: undefined,
  skipped: 'minus',
};

/** A status by shape, colour and text. `quiet`: the text is for those who do not see the rest. */
export function StatusBadge({ status, quiet = false }: { status: DisplayStatus; quiet?: boolean }) {
  const icon = ICONS[status];
  return (
    <span className={`badge status-${status}${quiet ? ' badge-quiet' : ''}`} title={quiet ? texts.status[status] : undefined}>
      <span className="badge-mark">{icon ? <Icon name={icon} size={12} /> : null}</span>
      <span className={quiet ? 'visually-hidden' : undefined}>{texts.status[status]}</span>
    </span>
  );
}
