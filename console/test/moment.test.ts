import { describe, expect, it } from 'vitest';
import { TaskLog } from '../src/model/log';
import { momentAt } from '../src/model/moment';
import { workflowOf } from '../src/model/workflow';
import { iteration, nodeStatus, taskStatus } from './events';

const node = (id: string, type = 'code', more: object = {}) => ({ id, type, meta: { position: { x: 0, y: 0 } }, data: {}, ...more });
const edge = (sourceNodeID: string, targetNodeID: string, sourcePortID?: string) => ({ sourceNodeID, targetNodeID, ...(sourcePortID && { sourcePortID }) });

const branching = workflowOf({
  nodes: [node('start', 'start'), node('if', 'condition', { data: { conditions: [{ key: 'yes', value: {} }] } }), node('a'), node('b'), node('end', 'end')],
  edges: [edge('start', 'if'), edge('if', 'a', 'yes'), edge('if', 'b', 'else'), edge('a', 'end'), edge('b', 'end')],
});

describe('momentAt', () => {
  const log = new TaskLog();
  log.apply([
    taskStatus(1, 'processing'),
    nodeStatus(2, 'start', 'succeeded'),
    nodeStatus(3, 'if', 'succeeded', { branch: 'yes' }),
    nodeStatus(4, 'a', 'processing'),
    nodeStatus(5, 'a', 'succeeded'),
    nodeStatus(6, 'end', 'succeeded'),
    taskStatus(7, 'succeeded'),
  ]);

  it('shows what had happened then, and nothing of what came later', () => {
    const { nodes, edges } = momentAt(branching, log, 4, {});
    expect([...nodes].map(([id, state]) => [id, state.status])).toEqual([
      ['start', 'succeeded'],
      ['if', 'succeeded'],
      ['a', 'processing'],
      ['b', 'idle'],
      ['end', 'idle'],
    ]);
    expect(edges.get('if:yes>a')).toBe('flowing');
    expect(edges.get('if:else>b')).toBe('skipped');
    expect(edges.get('a:>end')).toBe('idle');
    expect(nodes.get('end')?.run).toBeUndefined();
  });

  it('greys what was skipped once the task has ended', () => {
    const { nodes, edges } = momentAt(branching, log, 7, {});
    expect(nodes.get('b')?.status).toBe('skipped');
    expect(edges.get('a:>end')).toBe('taken');
    expect(edges.get('b:>end')).toBe('skipped');
  });

  it('keeps the state of nodes that did not change as the same object', () => {
    const before = momentAt(branching, log, 4, {});
    const after = momentAt(branching, log, 5, {}, before);
    expect(after.nodes.get('start')).toBe(before.nodes.get('start'));
    expect(after.nodes.get('a')).not.toBe(before.nodes.get('a'));
  });
});

describe('momentAt, in loops', () => {
  const workflow = workflowOf({
    nodes: [node('loop', 'loop', { blocks: [node('x'), node('inner', 'loop', { blocks: [node('y')], edges: [] })], edges: [edge('x', 'inner')] })],
    edges: [],
  });
  const log = new TaskLog();
  const outer = (index: number) => [iteration('loop', index)];
  log.apply([
    taskStatus(1, 'processing'),
    nodeStatus(2, 'loop', 'processing'),
    nodeStatus(3, 'loop[0]/x', 'succeeded', { iterations: outer(0) }),
    nodeStatus(4, 'loop[0]/inner', 'processing', { iterations: outer(0) }),
    nodeStatus(5, 'loop[0]/inner[0]/y', 'succeeded', { iterations: [...outer(0), iteration('inner', 0)] }),
    nodeStatus(6, 'loop[0]/inner[1]/y', 'failed', { iterations: [...outer(0), iteration('inner', 1)] }),
    nodeStatus(7, 'loop[1]/x', 'processing', { iterations: outer(1) }),
  ]);

  it('follows the newest iteration', () => {
    const { nodes } = momentAt(workflow, log, 7, {});
    expect(nodes.get('loop')).toMatchObject({ iterations: 2, shown: 1 });
    expect(nodes.get('x')?.status).toBe('processing');
    expect(nodes.get('inner')).toMatchObject({ status: 'idle', iterations: 0, shown: -1 });
    expect(nodes.get('y')?.status).toBe('idle');
  });

  it('shows the iterations that are chosen', () => {
    const { nodes } = momentAt(workflow, log, 7, { loop: 0, inner: 0 });
    expect(nodes.get('x')?.run?.id).toBe('loop[0]/x');
    expect(nodes.get('y')?.run?.id).toBe('loop[0]/inner[0]/y');
    expect(momentAt(workflow, log, 7, { loop: 0 }).nodes.get('y')?.status).toBe('failed');
  });

  it('knows no iteration before it began', () => {
    const { nodes } = momentAt(workflow, log, 4, { loop: 1 });
    expect(nodes.get('loop')).toMatchObject({ iterations: 1, shown: -1 });
    expect(nodes.get('x')?.status).toBe('idle');
  });
});

it('tells the state of 300 nodes at 10,000 moments without a fold for each', () => {
  const many = workflowOf({ nodes: Array.from({ length: 300 }, (_, index) => node(`n${index}`)), edges: [] });
  const log = new TaskLog();
  log.apply(Array.from({ length: 10_000 }, (_, index) => nodeStatus(index + 1, `n${index % 300}`, index < 300 ? 'processing' : 'succeeded')));
  // 300 runs with many changes each are the worst case; each look-up begins at the end.
  const counts = [1, 150, 300, 10_000].map((sequence) => [...momentAt(many, log, sequence, {}).nodes.values()].filter((state) => state.run).length);
  expect(counts).toEqual([1, 150, 300, 300]);
});
