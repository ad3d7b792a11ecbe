import { describe, expect, it } from 'vitest';
import { readWorkflowFile } from '../src/run/workflowFile';

const deep = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

describe('readWorkflowFile', () => {
  it.each([
    ['', 'This is no JSON'],
    ['hello', 'This is no JSON'],
    ['\u0000\uFFFD\u0007', 'This is no JSON'],
    ['{"nodes": [', 'This is no JSON'],
    ['null', 'This is JSON, but no workflow'],
    ['[1]', 'This is JSON, but no workflow'],
    ['"text"', 'This is JSON, but no workflow'],
    ['{"schema": null}', 'This is JSON, but no workflow'],
    ['{"schema": "{"}', 'This is no JSON'],
    ['{"schema": "[]"}', 'This is JSON, but no workflow'],
    [deep(100_000), 'This is nested too deep'],
    [`{"nodes": ${deep(100_000)}}`, 'This is nested too deep'],
    [JSON.stringify({ schema: `{"nodes": ${deep(5000)}}` }), 'This is nested too deep'],
  ])('says in words what keeps %.30s from being a workflow', (text, message) => {
    expect(() => readWorkflowFile(text)).toThrow(message);
  });

  it.each(['{"nodes": null}', '{"nodes": {"a": 1}, "edges": "x"}', '{"nodes": [7, null, {"id": 5}, {"id": "a", "type": 3}]}'])(
    'leaves it to the server to say what is wrong with %s',
    (text) => {
      expect(readWorkflowFile(text).workflow.all.size).toBe(0);
    },
  );

  it('takes brackets in texts for what they are, and large files', () => {
    const text = JSON.stringify({ nodes: [{ id: 'a', type: 'start', data: { note: '[{"\\'.repeat(1_500_000) } }] });
    expect(readWorkflowFile(text).workflow.all.size).toBe(1);
  });
});
