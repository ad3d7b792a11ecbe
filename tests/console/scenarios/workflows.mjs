// Workflows that the scenarios run.
import { readFileSync } from 'node:fs';

const node = (id, type, x, y, data = {}, more = {}) => ({ id, type, meta: { position: { x, y } }, data: { title: id, ...data }, ...more });
const edge = (sourceNodeID, targetNodeID, sourcePortID) => ({ sourceNodeID, targetNodeID, ...(sourcePortID && { sourcePortID }) });
const ANY = { type: 'object', properties: {} };

/** A file of examples/, whose model is at an address. */
export function example(name, model) {
  const text = readFileSync(new URL(`../../../examples/${name}.json`, import.meta.url), 'utf8');
  return JSON.parse(text.replaceAll('http://127.0.0.1:18231/v1', model));
}

/** A script between start and end. */
export function script(content, outputs = { x: { type: 'string' } }) {
  return {
    nodes: [
      node('start_0', 'start', 0, 0, { outputs: ANY }),
      node('code_0', 'code', 480, 0, { script: { language: 'javascript', content }, outputs: { type: 'object', properties: outputs } }),
      node('end_0', 'end', 960, 0, {
        inputs: { type: 'object', properties: outputs },
        inputsValues: Object.fromEntries(Object.keys(outputs).map((name) => [name, { type: 'ref', content: ['code_0', name] }])),
      }),
    ],
    edges: [edge('start_0', 'code_0'), edge('code_0', 'end_0')],
  };
}

/** A model that is silent after its first word, until it is stopped. */
export function silentModel(host) {
  const values = { modelName: 'slow', apiHost: host, apiKey: 'key', temperature: 0, prompt: 'wait' };
  return {
    nodes: [
      node('start_0', 'start', 0, 0, { outputs: ANY }),
      node('llm_0', 'llm', 480, 0, {
        inputs: { type: 'object', properties: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { type: typeof value }])) },
        inputsValues: Object.fromEntries(Object.entries(values).map(([name, content]) => [name, { type: 'constant', content }])),
        outputs: { type: 'object', properties: { result: { type: 'string' } } },
      }),
      node('end_0', 'end', 960, 0),
    ],
    edges: [edge('start_0', 'llm_0'), edge('llm_0', 'end_0')],
  };
}

/** So many nodes without I/O, in rows that run side by side. */
export function many(count) {
  const rows = 20;
  const steps = Array.from({ length: count - 2 }, (_, index) =>
    node(`step_${index}`, 'variable', 480 + Math.floor(index / rows) * 460, (index % rows) * 160, { assign: [] }),
  );
  const edges = steps.map((step, index) => (index < rows ? edge('start_0', step.id) : edge(`step_${index - rows}`, step.id)));
  const last = steps.slice(-rows).map((step) => edge(step.id, 'end_0'));
  return {
    nodes: [node('start_0', 'start', 0, 1500, { outputs: ANY }), ...steps, node('end_0', 'end', 480 + Math.ceil(count / rows) * 460, 1500)],
    edges: [...edges, ...last],
  };
}

/** A loop over an array, with nothing that takes time inside. */
export function loop() {
  return {
    nodes: [
      node('start_0', 'start', 0, 0, { outputs: { type: 'object', properties: { items: { type: 'array', items: { type: 'integer' } } } } }),
      node('loop_0', 'loop', 480, 0, { loopFor: { type: 'ref', content: ['start_0', 'items'] } }, {
        blocks: [node('in_0', 'block-start', 0, 0), node('var_0', 'variable', 260, 0, { assign: [] }), node('out_0', 'block-end', 560, 0)],
        edges: [edge('in_0', 'var_0'), edge('var_0', 'out_0')],
      }),
      node('end_0', 'end', 1500, 0),
    ],
    edges: [edge('start_0', 'loop_0'), edge('loop_0', 'end_0')],
  };
}

/** A graph with a group, a comment, and names that look like markup. */
export function picture() {
  const workflow = script('function main() { return { x: "<img src=x onerror=alert(1)>" } }');
  workflow.nodes[1].data.title = '<b>bold</b><script>alert(1)</script>';
  workflow.nodes.push(
    node('comment_0', 'comment', 480, 300, { note: '<i>A note</i>', size: { width: 240, height: 120 } }),
    node('group_0', 'group', 0, 0, { title: 'The group', blockIDs: ['code_0'], color: 'Green' }),
  );
  return workflow;
}
