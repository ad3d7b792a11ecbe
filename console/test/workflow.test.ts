import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { canvasData } from '../src/graph/canvasData';
import { bytes, duration, utc } from '../src/model/format';
import { inputsSchema, nodesNamedIn, readWorkflow, workflowOf } from '../src/model/workflow';
import { readLabels, readWorkflowFile } from '../src/run/workflowFile';

describe('readWorkflow', () => {
  it('leaves out what has no form, and keeps the rest', () => {
    const workflow = readWorkflow('{"nodes": [1, {"id": "a", "type": "code"}, {"id": "a", "type": "llm"}, {"id": "b"}], "edges": [{}, {"sourceNodeID": "a", "targetNodeID": "gone"}]}');
    expect([...workflow.all.keys()]).toEqual(['a']);
    expect(workflow.nodes[0]).toMatchObject({ title: 'a', position: { x: 0, y: 0 } });
    expect(canvasData(workflow).edges).toEqual([]);
  });

  it('knows the branches of conditions, each with its text', () => {
    const left = { type: 'ref', content: ['start_0', 'total'] };
    const { all } = workflowOf({
      nodes: [
        { id: 'c', type: 'condition', data: { conditions: [{ key: 'if_big', value: { left, operator: 'gte', right: { type: 'constant', content: 10 } } }] } },
        { id: 'm', type: 'multi-condition', data: { branch: [{ logic: 'or', conditions: [{ left, operator: 'is_empty' }, { left, operator: 'is_true' }] }] } },
      ],
      edges: [],
    });
    expect(all.get('c')?.ports).toEqual([
      { id: 'if_big', label: 'start_0.total gte 10' },
      { id: 'else', label: 'else' },
    ]);
    expect(all.get('m')?.ports[0]).toEqual({ id: 'branch.0', label: 'start_0.total is empty or start_0.total is true' });
  });

  it('names the nodes that a problem is about', () => {
    const workflow = workflowOf({ nodes: [{ id: 'end_0', type: 'end' }], edges: [] });
    expect(nodesNamedIn('Workflow schema edge target node "end_1" not exist, near "end_0"', workflow)).toEqual(['end_0']);
  });
});

describe('workflow files', () => {
  it('are all the examples', () => {
    const folder = new URL('../../examples/', import.meta.url);
    for (const name of readdirSync(folder)) {
      const file = readWorkflowFile(readFileSync(new URL(name, folder), 'utf8'));
      expect(file.inputs, name).toBeDefined();
      expect(inputsSchema(file.workflow)?.['type'], name).toBe('object');
    }
  });

  it('may be the editor’s own JSON, or hold the schema as text', () => {
    expect(readWorkflowFile('{"nodes": [], "edges": []}').inputs).toBeUndefined();
    expect(readWorkflowFile('{"schema": "{\\"nodes\\": []}", "inputs": {"a": 1}}').inputs).toEqual({ a: 1 });
  });

  it.each(['', '[]', '{"a": 1}', '{"schema": 5}'])('that are none are refused: %s', (text) => {
    expect(() => readWorkflowFile(text)).toThrow(/JSON/);
  });

  it('have labels as lines', () => {
    expect(readLabels('a=b\n\n c = d=e ')).toEqual({ labels: { a: 'b', c: 'd=e' }, problem: undefined });
    expect(readLabels('nothing').problem).toContain('nothing');
  });
});

describe('for people', () => {
  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [3449, '3.4 s'],
    [59_999, '59 s'],
    [125_000, '2 m 05 s'],
    [3_840_000, '1 h 04 m'],
    [180_000_000, '2 d 2 h'],
  ])('%d milliseconds are %s', (span, text) => expect(duration(span)).toBe(text));

  it('sizes and times are short', () => {
    expect(bytes(5_000_000)).toBe('5.0 MB');
    expect(utc(0)).toBe('1970-01-01 00:00:00.000 UTC');
    expect(utc(Number.NaN)).toBe('');
  });
});
