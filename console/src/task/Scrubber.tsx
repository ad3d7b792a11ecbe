import { useEffect, useRef, useState } from 'react';
import { useKeys } from '../app/keys';
import { clock, duration, utc } from '../model/format';
import { texts } from '../texts';
import { Icon } from '../ui/Icon';
import { useSessionVersion } from './hooks';
import { Player } from './player';
import type { TaskSession } from './session';

const SPEEDS = [0.25, 1, 4, 16, 64];
const FAR = 10;
const MOST_MARKS = 200;

/** Moves through the log: everything else on the page shows the moment that is chosen here. */
export function Scrubber({ session }: { session: TaskSession }) {
  useSessionVersion(session);
  const { log, at, live } = session;
  const last = log.lastSequence;
  const [speed, setSpeed] = useState(1);
  const [playing, setPlaying] = useState(false);
  const player = useRef<Player>(undefined);

  useEffect(() => {
    if (!playing) return undefined;
    const current = new Player(session, speed, () => setPlaying(false));
    player.current = current;
    return current.start();
  }, [session, playing, speed]);

  const seek = (sequence: number) => {
    setPlaying(false);
    // The end of what still grows is where it grows.
    session.seek(sequence >= log.lastSequence ? undefined : sequence);
  };
  const play = () => {
    if (!playing && (live || at >= last)) session.seek(1);
    setPlaying(!playing);
  };
  useKeys({
    ArrowLeft: (event) => seek(at - (event.shiftKey ? FAR : 1)),
    ArrowRight: (event) => !live && seek(at + (event.shiftKey ? FAR : 1)),
    Home: () => seek(1),
    End: () => seek(last),
    ' ': (event) => {
      if ((event.target as Element | null)?.closest('button, a, summary')) return;
      event.preventDefault();
      play();
    },
  });

  const first = log.times[0] ?? 0;
  const time = log.timeOf(at);
  return (
    <section className="scrubber" aria-label={texts.scrubber.label} data-live={live}>
      <button type="button" className="icon-button" aria-label={playing ? texts.scrubber.pause : texts.scrubber.play} title={playing ? texts.scrubber.pause : texts.scrubber.play} disabled={last === 0} onClick={play}>
        <Icon name={playing ? 'pause' : 'play'} />
      </button>
      <label className="speed">
        <span className="visually-hidden">{texts.scrubber.speed}</span>
        <select value={speed} onChange={(event) => setSpeed(Number(event.target.value))}>
          {SPEEDS.map((each) => (
            <option key={each} value={each}>
              {each}×
            </option>
          ))}
        </select>
      </label>
      <div className="track">
        <input
          type="range"
          min={Math.min(1, last)}
          max={last}
          step={1}
          value={at}
          disabled={last === 0}
          aria-label={texts.scrubber.label}
          aria-valuetext={`${texts.scrubber.of(at, last)}, ${duration(time - first)}`}
          onChange={(event) => seek(event.target.valueAsNumber)}
          onKeyDown={(event) => {
            if (!['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(event.key)) return;
            event.preventDefault(); // the page's own keys do the same, in the same steps
          }}
        />
        <div className="track-marks" aria-hidden="true">
          {log.failures.slice(0, MOST_MARKS).map((sequence) => (
            <span key={sequence} style={{ left: `${((sequence - 1) / Math.max(last - 1, 1)) * 100}%` }} />
          ))}
        </div>
      </div>
      <span className="moment" title={time ? utc(time) : undefined}>
        <span className="moment-time">{time ? clock(time, time) : texts.common.none}</span>
        <span className="hint"> +{duration(time - first)}</span>
        <span className="hint moment-count"> {texts.scrubber.of(at, last)}</span>
      </span>
      <button type="button" className={live ? 'quiet to-live' : 'primary to-live'} aria-pressed={live} onClick={() => seek(last)}>
        <span className={live && !log.terminated ? 'dot dot-live' : 'dot'} aria-hidden="true" />
        {log.terminated ? texts.scrubber.toEnd : texts.scrubber.toLive}
      </button>
    </section>
  );
}
