import { useEffect, useMemo, useRef, useState, type CSSProperties, type ReactNode } from 'react';
import { useNow } from '../app/clock';
import { useKeys } from '../app/keys';
import { duration } from '../model/format';
import { axisStep, barsIn, timelineRows, type Bar, type Row } from '../model/timeline';
import { texts } from '../texts';
import { Icon, typeIcon } from '../ui/Icon';
import { statusText } from '../ui/StatusBadge';
import { useSessionVersion } from './hooks';
import type { TaskSession } from './session';

const ROW = 26;
const AROUND = 8;
const MARK_SPACE = 110;
const NARROW = 520;
const ZOOM = 2;
const MOST_ZOOM = 4096;
const MANY_RUNS = 2000;
/** Milliseconds between two looks at all runs of a large log. */
const REBUILD = 250;

/** One row per run, nested by iteration, growing while it runs. */
export function Timeline({ session, selected, onSelect }: { session: TaskSession; selected: string; onSelect: (runID: string) => void }) {
  useSessionVersion(session);
  const { log, createTime } = session;
  const [failedOnly, setFailedOnly] = useState(false);
  const [toggled, setToggled] = useState<ReadonlySet<string>>(new Set());
  const [zoom, setZoom] = useState(1);
  const [cursor, setCursor] = useState('');
  const [box, setBox] = useState({ top: 0, height: 240, width: 600 });
  const scroller = useRef<HTMLDivElement>(null);
  const ticking = !log.terminated;
  const now = useNow(ticking);

  const version = useCalmVersion(log.version, log.runs.size > MANY_RUNS);
  // eslint-disable-next-line react-hooks/exhaustive-deps -- the log grows in place; its version says when
  const rows = useMemo(() => timelineRows(log, { failedOnly, toggled, createTime }), [log, version, failedOnly, toggled, createTime]);

  const from = Math.min(createTime || Infinity, log.times[0] ?? Infinity);
  const end = Math.max(log.times.at(-1) ?? 0, ticking ? now : 0);
  const span = Math.max(end - from, 10) * 1.02;
  const known = Number.isFinite(from);

  useEffect(() => {
    const element = scroller.current;
    if (!element) return undefined;
    const measure = () => setBox({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener('scroll', measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', measure);
    };
  }, []);

  const firstRow = Math.max(0, Math.floor(box.top / ROW) - AROUND);
  const lastRow = Math.min(rows.length, Math.ceil((box.top + box.height) / ROW) + AROUND);
  const toggle = (key: string) => {
    const next = new Set(toggled);
    if (!next.delete(key)) next.add(key);
    setToggled(next);
  };
  const zoomTo = (value: number) => setZoom(Math.min(Math.max(value, 1), MOST_ZOOM));
  const move = (step: number) => {
    const at = rows.findIndex((row) => row.key === cursor);
    const next = Math.min(Math.max(at + step, 0), rows.length - 1);
    const row = rows[next];
    if (!row) return;
    setCursor(row.key);
    if (row.run) onSelect(row.run.id);
    const element = scroller.current;
    if (!element) return;
    const top = next * ROW;
    if (top < element.scrollTop || top + 2 * ROW > element.scrollTop + element.clientHeight) element.scrollTop = top - element.clientHeight / 2;
  };
  useKeys({ j: () => move(1), k: () => move(-1) });

  const labels = box.width < NARROW ? 130 : 220;
  const trackWidth = Math.max(box.width - labels, 100) * zoom;
  const step = axisStep(span, trackWidth / MARK_SPACE);
  const marks = known ? Array.from({ length: Math.min(Math.floor(span / step) + 1, 2000) }, (_, index) => index * step) : [];
  const place = (time: number) => `${((time - from) / span) * 100}%`;
  const moment = session.live ? undefined : log.timeOf(session.at);

  return (
    <div className="timeline" style={{ '--label-width': `${labels}px` } as CSSProperties}>
      <div className="timeline-tools">
        <h2>{texts.timeline.label}</h2>
        <span className="hint">{texts.task.runs(log.runs.size)}</span>
        <label className="check">
          <input type="checkbox" checked={failedOnly} onChange={(event) => setFailedOnly(event.target.checked)} /> {texts.timeline.failedOnly}
        </label>
        <Tool name="minus" label={texts.timeline.zoomOut} disabled={zoom <= 1} onClick={() => zoomTo(zoom / ZOOM)} />
        <Tool name="plus" label={texts.timeline.zoomIn} disabled={zoom >= MOST_ZOOM} onClick={() => zoomTo(zoom * ZOOM)} />
        <Tool name="fit" label={texts.timeline.fit} disabled={zoom === 1} onClick={() => zoomTo(1)} />
      </div>
      <div
        className={zoom > 1 ? 'timeline-scroll zoomed' : 'timeline-scroll'}
        ref={scroller}
        tabIndex={0}
        role="group"
        aria-label={texts.timeline.label}
        onWheel={(event) => {
          if (event.ctrlKey || event.metaKey) zoomTo(zoom * (event.deltaY < 0 ? 1.25 : 0.8));
        }}
      >
        <div className="timeline-content" style={{ width: `calc(var(--label-width) + ${trackWidth}px)`, height: (rows.length + 1) * ROW }}>
          <div className="timeline-axis" style={{ height: ROW }}>
            <span className="timeline-label" />
            <div className="timeline-track">
              {marks.map((mark) => (
                <span key={mark} className="axis-mark" style={{ left: place(from + mark) }}>
                  {duration(mark)}
                </span>
              ))}
            </div>
          </div>
          {rows.slice(firstRow, lastRow).map((row, index) => (
            <TimelineRow
              key={row.key}
              row={row}
              top={(firstRow + index + 1) * ROW}
              title={title(session, row)}
              type={session.workflow?.all.get(row.nodeID)?.type ?? 'other'}
              current={cursor === row.key || (row.run !== undefined && row.nodeID === selected && session.moment.nodes.get(selected)?.run === row.run)}
              onToggle={() => toggle(row.key)}
              onSelect={() => {
                setCursor(row.key);
                if (row.run) onSelect(row.run.id);
              }}
            >
              {known && barsIn(log, row, createTime).map((bar, each) => <BarView key={each} bar={bar} row={row} from={from} span={span} now={end} moment={moment} at={session.at} name={title(session, row)} />)}
            </TimelineRow>
          ))}
          {moment !== undefined && known && (
            <div className="playhead-lane">
              <div className="playhead" style={{ left: place(moment) }} />
            </div>
          )}
        </div>
        {rows.length === 0 && <p className="hint timeline-empty">{failedOnly ? texts.timeline.noneFailed : texts.timeline.empty}</p>}
      </div>
    </div>
  );
}

/** A version that grows; of a large log only a few times per second, since what is made of all its runs takes that long. */
function useCalmVersion(version: number, isLarge: boolean): number {
  const [calm, setCalm] = useState(version);
  const since = useRef(0);
  useEffect(() => {
    if (!isLarge) return undefined;
    const wait = since.current + REBUILD - performance.now();
    const timer = setTimeout(
      () => {
        since.current = performance.now();
        setCalm(version);
      },
      Math.max(wait, 0),
    );
    return () => clearTimeout(timer);
  }, [version, isLarge]);
  return isLarge ? calm : version;
}

function Tool({ name, label, disabled, onClick }: { name: 'plus' | 'minus' | 'fit'; label: string; disabled: boolean; onClick: () => void }) {
  return (
    <button type="button" className="quiet icon-button" aria-label={label} title={label} disabled={disabled} onClick={onClick}>
      <Icon name={name} size={14} />
    </button>
  );
}

function title(session: TaskSession, row: Row): string {
  if (row.kind === 'queue') return texts.timeline.queued;
  if (row.kind === 'iteration') return texts.timeline.iteration(row.index);
  return session.workflow?.all.get(row.nodeID)?.title ?? row.nodeID;
}

interface RowProps {
  row: Row;
  top: number;
  title: string;
  type: string;
  current: boolean;
  children: ReactNode;
  onToggle: () => void;
  onSelect: () => void;
}

function TimelineRow({ row, top, title: name, type, current, children, onToggle, onSelect }: RowProps) {
  return (
    <div className={`timeline-row row-${row.kind}${current ? ' current' : ''}`} style={{ top, height: ROW }} data-run={row.run?.id}>
      <div className="timeline-label" style={{ paddingInlineStart: Math.min(row.depth, 8) * 12 + 4 }}>
        {row.open === undefined ? (
          <span className="fold-space" />
        ) : (
          <button type="button" className="quiet fold" aria-expanded={row.open} aria-label={`${row.open ? texts.common.collapse : texts.common.expand}: ${name}`} onClick={onToggle}>
            <Icon name="chevron" size={12} />
          </button>
        )}
        {row.run ? (
          <button type="button" className="row-name" aria-pressed={current} onClick={onSelect}>
            <Icon name={typeIcon(type)} size={12} /> <span>{name}</span>
          </button>
        ) : (
          <span className="row-name">{name}</span>
        )}
      </div>
      <div className="timeline-track" onClick={row.run ? onSelect : undefined}>
        {children}
      </div>
    </div>
  );
}

interface BarProps {
  bar: Bar;
  row: Row;
  from: number;
  span: number;
  now: number;
  /** The time that is looked at; undefined: all. */
  moment: number | undefined;
  at: number;
  name: string;
}

function BarView({ bar, row, from, span, now, moment, at, name }: BarProps) {
  const to = bar.to ?? now;
  const future = moment !== undefined && bar.fromSequence > at;
  const goesOn = moment !== undefined && !future && bar.toSequence > at;
  const status = goesOn ? bar.status : bar.outcome;
  const until = goesOn && moment < to ? moment : to;
  const words = bar.status === 'pending' ? texts.timeline.waiting : statusText(status);
  return (
    <span
      className={`bar status-${status}${future ? ' bar-future' : ''}${bar.status === 'pending' ? ' bar-waiting' : ''}${row.kind === 'iteration' ? ' bar-iteration' : ''}`}
      style={{ left: `${((bar.from - from) / span) * 100}%`, width: `${(Math.max(until - bar.from, 0) / span) * 100}%` }}
      title={texts.timeline.bar(name, words, duration(until - bar.from))}
    />
  );
}
