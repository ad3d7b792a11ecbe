import { describe, expect, it } from 'vitest';
import type { StatusWord, TaskSummary } from '../src/api/types';
import { filterOf, fits, queueTime, runTime, TaskCollection } from '../src/model/tasks';

function task(taskID: string, createTime: number, more: Partial<TaskSummary> & { status?: StatusWord; startTime?: number; endTime?: number } = {}): TaskSummary {
  const { status = 'succeeded', startTime = createTime, endTime, ...rest } = more;
  const terminated = !['pending', 'processing'].includes(status);
  return { taskID, createTime, labels: {}, workflowStatus: { status, terminated, startTime, timeCost: 0, ...(endTime !== undefined && { endTime }) }, ...rest };
}

const ALL = { reveal: true, complete: true, fits: () => true };

describe('TaskCollection', () => {
  it('holds new tasks back where they would make rows jump', () => {
    const tasks = new TaskCollection();
    tasks.list([task('a', 1), task('b', 2)]);
    tasks.change([task('c', 3)], { ...ALL, reveal: false });
    expect(tasks.shown().map((each) => each.taskID)).toEqual(['b', 'a']);
    expect(tasks.heldBack).toBe(1);
    tasks.revealAll();
    expect(tasks.shown().map((each) => each.taskID)).toEqual(['c', 'b', 'a']);
  });

  it('lets the answer win that has seen more', () => {
    const tasks = new TaskCollection();
    tasks.change([task('a', 1, { lastSequence: 9 })], ALL);
    tasks.list([task('a', 1, { lastSequence: 4, status: 'processing' })]);
    expect(tasks.get('a')?.workflowStatus.status).toBe('succeeded');
  });

  it('drops a task that fits the filter no longer, and one that was removed', () => {
    const tasks = new TaskCollection();
    tasks.list([task('a', 1, { status: 'processing' }), task('b', 2)]);
    tasks.change([task('a', 1)], { ...ALL, fits: (each) => each.workflowStatus.status === 'processing' });
    tasks.remove(['b']);
    expect(tasks.size).toBe(0);
  });

  it('leaves what belongs to a page that is not loaded to that page', () => {
    const tasks = new TaskCollection();
    tasks.list([task('b', 20)]);
    tasks.change([task('old', 10)], { ...ALL, complete: false });
    expect(tasks.shown().map((each) => each.taskID)).toEqual(['b']);
  });
});

describe('filters', () => {
  it('are read from the address, without what makes no sense', () => {
    expect(filterOf(new URLSearchParams('status=failed&status=odd&label=a=b=c&label=x&name=tri&created=1h'))).toEqual({
      statuses: ['failed'],
      labels: ['a=b=c'],
      name: 'tri',
      created: '1h',
    });
  });

  it('match names, beginnings of ids, labels and times', () => {
    const filter = { statuses: [], labels: [], name: '', created: '' };
    const one = task('01ab', 1000, { displayName: 'Order Triage', labels: { a: 'b' } });
    expect(fits(one, { ...filter, name: 'triage' }, 0)).toBe(true);
    expect(fits(one, { ...filter, name: '01A' }, 0)).toBe(true);
    expect(fits(one, { ...filter, name: 'ab' }, 0)).toBe(false);
    expect(fits(one, { ...filter, labels: ['a=b'] }, 0)).toBe(true);
    expect(fits(one, { ...filter, labels: ['a=c'] }, 0)).toBe(false);
    expect(fits(one, { ...filter, created: '15m' }, 1000 + 16 * 60_000)).toBe(false);
  });
});

it('tells queue time apart from run time', () => {
  expect(queueTime(task('a', 100, { startTime: 130, endTime: 150 }), 999)).toBe(30);
  expect(runTime(task('a', 100, { startTime: 130, endTime: 150 }), 999)).toBe(20);
  const waiting = task('b', 100, { status: 'pending', startTime: 0 });
  expect(queueTime(waiting, 160)).toBe(60);
  expect(runTime(waiting, 160)).toBeUndefined();
});
