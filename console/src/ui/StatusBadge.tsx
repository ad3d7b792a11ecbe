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

/** A status in words; one that came after this version as it is. */
export function statusText(status: DisplayStatus): string {
  return (texts.status as Partial<typeof texts.status>)[status] ?? status;
}

/** A status by shape, colour and text. `quiet`: the text is for those who do not see the rest. */
export function StatusBadge({ status, quiet = false }: { status: DisplayStatus; quiet?: boolean }) {
  const icon = ICONS[status];
  const text = statusText(status);
  return (
    <span className={`badge status-${status}${quiet ? ' badge-quiet' : ''}`} title={quiet ? text : undefined}>
      <span className="badge-mark">{icon ? <Icon name={icon} size={12} /> : null}</span>
      <span className={quiet ? 'visually-hidden' : undefined}>{text}</span>
    </span>
  );
}
