import { describe, expect, it } from 'vitest';
import type { TaskEvent } from '../src/api/types';
import { changeAt, TaskLog } from '../src/model/log';
import { delta, iteration, nodeStatus, taskStatus, time } from './events';

function logOf(...events: TaskEvent[]): TaskLog {
  const log = new TaskLog();
  log.apply(events);
  return log;
}

describe('TaskLog', () => {
  it('tells the status of a run at any moment', () => {
    const log = logOf(taskStatus(1, 'processing'), nodeStatus(2, 'a', 'processing'), nodeStatus(5, 'a', 'succeeded', { branch: 'if_1' }));
    const run = log.run('', 'a');
    const statuses = [1, 2, 4, 5, 9].map((sequence) => run && changeAt(run.changes, sequence)?.status);
    expect(statuses).toEqual([undefined, 'processing', 'processing', 'succeeded', 'succeeded']);
    expect(run?.branch).toBe('if_1');
  });

  it('gives a node that reported its end alone the time in which it ran', () => {
    const log = logOf(nodeStatus(1, 'a', 'succeeded', { at: 8, startedAt: 3 }));
    expect(log.run('', 'a')?.changes).toEqual([
      { sequence: 1, status: 'processing', time: time(3) },
      { sequence: 1, status: 'succeeded', time: time(8) },
    ]);
  });

  it('takes no event twice', () => {
    const log = logOf(taskStatus(1, 'processing'));
    log.apply([taskStatus(1, 'processing'), taskStatus(2, 'succeeded')]);
    expect(log.changes).toHaveLength(2);
    expect(log.terminated).toBe(true);
  });

  it('skips events of an unknown kind, but not their place in the log', () => {
    const log = logOf(taskStatus(1, 'processing'), { type: 'unknown', sequence: 2, timestamp: time(7) });
    expect(log.lastSequence).toBe(2);
    expect(log.timeOf(2)).toBe(time(7));
  });

  it('keeps the runs of iterations apart, and counts iterations in the order in which they began', () => {
    const log = logOf(
      nodeStatus(1, 'loop', 'processing'),
      nodeStatus(2, 'loop[0]/a', 'succeeded', { iterations: [iteration('loop', 0)] }),
      nodeStatus(3, 'loop[1]/inner', 'processing', { iterations: [iteration('loop', 1)] }),
      nodeStatus(4, 'loop[1]/inner[0]/b', 'failed', { iterations: [iteration('loop', 1), iteration('inner', 0)] }),
    );
    expect(log.iterations('', 'loop').map((scope) => [scope.index, scope.sequence])).toEqual([
      [0, 2],
      [1, 3],
    ]);
    expect(log.run('loop[1]/inner[0]', 'b')?.id).toBe('loop[1]/inner[0]/b');
    expect(log.run('loop[0]', 'inner')).toBeUndefined();
    expect(log.failures).toEqual([4]);
  });

  it('appends deltas, replaces them from the start, and drops them when the run ends', () => {
    const log = logOf(nodeStatus(1, 'llm', 'processing'), delta('llm', 'You '), delta('llm', 'said'));
    expect(log.texts.get('llm')).toBe('You said');
    log.apply([delta('llm', 'All so far', true), delta('llm', '.')]);
    expect(log.texts.get('llm')).toBe('All so far.');
    log.apply([nodeStatus(2, 'llm', 'succeeded')]);
    expect(log.texts.has('llm')).toBe(false);
  });

  it('has times that never fall, for a clock may be set back', () => {
    const log = logOf(taskStatus(1, 'processing', 100), nodeStatus(2, 'a', 'processing', { at: 50 }), nodeStatus(3, 'a', 'succeeded', { at: 120 }));
    expect(log.times).toEqual([time(100), time(100), time(120)]);
    expect(log.sequenceAt(time(99))).toBe(0);
    expect(log.sequenceAt(time(100))).toBe(2);
    expect(log.sequenceAt(time(500))).toBe(3);
  });
});
