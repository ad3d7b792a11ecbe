import { describe, expect, it } from 'vitest';
import { TaskLog } from '../src/model/log';
import { axisStep, barsIn, barsOf, timelineRows } from '../src/model/timeline';
import { iteration, nodeStatus, taskStatus, time } from './events';

const OPTIONS = { failedOnly: false, toggled: new Set<string>(), createTime: 0 };

function logOfLoop(): TaskLog {
  const log = new TaskLog();
  log.apply([
    taskStatus(1, 'pending', 0),
    taskStatus(2, 'processing', 5),
    nodeStatus(3, 'loop', 'processing'),
    nodeStatus(4, 'loop[0]/a', 'succeeded', { iterations: [iteration('loop', 0)] }),
    nodeStatus(5, 'loop[1]/a', 'processing', { iterations: [iteration('loop', 1)] }),
    nodeStatus(6, 'loop[1]/a', 'failed', { iterations: [iteration('loop', 1)] }),
    nodeStatus(7, 'loop', 'failed'),
  ]);
  return log;
}

describe('timelineRows', () => {
  it('nests runs by iteration, after the time in the queue', () => {
    const log = logOfLoop();
    const rows = timelineRows(log, OPTIONS);
    const bars = rows.map((row) => barsIn(log, row, OPTIONS.createTime));
    expect(rows.map((row) => [row.kind, row.key, row.depth])).toEqual([
      ['queue', 'queue', 0],
      ['run', 'loop', 0],
      ['iteration', 'loop[0]', 1],
      ['run', 'loop[0]/a', 2],
      ['iteration', 'loop[1]', 1],
      ['run', 'loop[1]/a', 2],
    ]);
    expect(bars[0]).toMatchObject([{ status: 'pending', from: time(0), to: time(5) }]);
    expect(bars[4]).toMatchObject([{ outcome: 'failed', from: time(5), to: time(6) }]);
  });

  it('shows failed runs only, and what they are in', () => {
    expect(timelineRows(logOfLoop(), { ...OPTIONS, failedOnly: true }).map((row) => row.key)).toEqual(['loop', 'loop[1]', 'loop[1]/a']);
  });

  it('folds what is toggled', () => {
    const rows = timelineRows(logOfLoop(), { ...OPTIONS, toggled: new Set(['loop[1]']) });
    expect(rows.map((row) => row.key)).not.toContain('loop[1]/a');
    expect(timelineRows(logOfLoop(), { ...OPTIONS, toggled: new Set(['loop']) })).toHaveLength(2);
  });
});

describe('barsOf', () => {
  it('tells waiting from running, and has a bar for each attempt', () => {
    const changes = [
      { sequence: 1, status: 'pending' as const, time: 1 },
      { sequence: 2, status: 'processing' as const, time: 4 },
      { sequence: 3, status: 'processing' as const, time: 6 },
      { sequence: 4, status: 'succeeded' as const, time: 9 },
    ];
    expect(barsOf(changes).map((bar) => [bar.status, bar.from, bar.to, bar.outcome])).toEqual([
      ['pending', 1, 4, 'pending'],
      ['processing', 4, 6, 'processing'],
      ['processing', 6, 9, 'succeeded'],
    ]);
  });

  it('has an open end while a run goes on', () => {
    expect(barsOf([{ sequence: 1, status: 'processing', time: 1 }])).toMatchObject([{ to: undefined, toSequence: Infinity }]);
  });
});

it('marks an axis in round steps', () => {
  expect(axisStep(1000, 10)).toBe(100);
  expect(axisStep(61_000, 6)).toBe(15_000);
  expect(axisStep(3, 10)).toBe(1);
  expect(axisStep(864e5 * 20, 5)).toBe(864e5 * 4);
});
