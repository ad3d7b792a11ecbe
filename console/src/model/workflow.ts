/** A workflow as the editor saves it: nodes, edges, and the graphs inside of loops. */

import { isObject, parseJson, type Json, type JsonObject } from '../api/json';

export interface FlowEdge {
  source: string;
  target: string;
  /** The port of a node that branches; undefined for its only one. */
  sourcePort?: string;
  targetPort?: string;
}

export interface Port {
  id: string;
  label: string;
}

export interface FlowNode {
  id: string;
  type: string;
  title: string;
  data: JsonObject;
  position: { x: number; y: number };
  /** The graph inside a loop. */
  inner?: FlowGraph;
  /** The loops around the node, outermost first. */
  loops: readonly string[];
  /** Of nodes that branch. */
  ports: readonly Port[];
}

export interface FlowGraph {
  nodes: FlowNode[];
  edges: FlowEdge[];
}

export interface Workflow extends FlowGraph {
  /** All nodes, those inside of loops too. */
  all: ReadonlyMap<string, FlowNode>;
  /** The JSON that it was read from. */
  json: JsonObject;
}

/** Belong to the picture and never run. */
export const PICTURE_ONLY: ReadonlySet<string> = new Set(['comment', 'group']);
const LOOP = 'loop';
const CONDITIONS = new Set(['condition', 'multi-condition']);

/** Reads a workflow leniently: what has no form is left out, for the server says what is wrong with it.
 *
 * Throws SyntaxError for what is no JSON object.
 */
export function readWorkflow(schema: string): Workflow {
  const json = parseJson(schema);
  if (!isObject(json)) throw new SyntaxError('not an object');
  return workflowOf(json);
}

export function workflowOf(json: JsonObject): Workflow {
  const all = new Map<string, FlowNode>();
  return { ...graph(json['nodes'], json['edges'], [], all), all, json };
}

function graph(nodes: Json | undefined, edges: Json | undefined, loops: readonly string[], all: Map<string, FlowNode>): FlowGraph {
  return { nodes: list(nodes).flatMap((each) => node(each, loops, all)), edges: list(edges).flatMap(edge) };
}

function node(json: Json, loops: readonly string[], all: Map<string, FlowNode>): FlowNode[] {
  if (!isObject(json)) return [];
  const id = json['id'];
  const type = json['type'];
  if (typeof id !== 'string' || typeof type !== 'string' || all.has(id)) return [];
  const data = isObject(json['data']) ? json['data'] : {};
  const title = typeof data['title'] === 'string' && data['title'] !== '' ? data['title'] : id;
  const read: FlowNode = { id, type, title, data, position: position(json['meta']), loops, ports: ports(type, data) };
  all.set(id, read);
  if (type === LOOP || Array.isArray(json['blocks'])) read.inner = graph(json['blocks'], json['edges'], [...loops, id], all);
  return [read];
}

function position(meta: Json | undefined): { x: number; y: number } {
  const place = isObject(meta) && isObject(meta['position']) ? meta['position'] : {};
  return { x: finite(place['x']), y: finite(place['y']) };
}

function finite(value: Json | undefined): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function edge(json: Json): FlowEdge[] {
  if (!isObject(json)) return [];
  const { sourceNodeID: source, targetNodeID: target, sourcePortID: sourcePort, targetPortID: targetPort } = json;
  if (typeof source !== 'string' || typeof target !== 'string') return [];
  return [
    {
      source,
      target,
      ...(typeof sourcePort === 'string' && sourcePort !== '' && { sourcePort }),
      ...(typeof targetPort === 'string' && targetPort !== '' && { targetPort }),
    },
  ];
}

/** The output ports of a node that branches, each with the condition that it stands for. */
function ports(type: string, data: JsonObject): Port[] {
  if (!CONDITIONS.has(type)) return [];
  const conditions = list(data['conditions']).flatMap((each): Port[] => {
    if (!isObject(each) || typeof each['key'] !== 'string') return [];
    return [{ id: each['key'], label: conditionText(each['value']) || each['key'] }];
  });
  const branches = list(data['branch']).map((each, index): Port => {
    const parts = isObject(each) ? list(each['conditions']).map(conditionText).filter(Boolean) : [];
    const logic = isObject(each) && each['logic'] === 'or' ? ' or ' : ' and ';
    return { id: `branch.${index}`, label: parts.join(logic) || `branch.${index}` };
  });
  const all = [...conditions, ...branches];
  return all.length > 0 ? [...all, { id: 'else', label: 'else' }] : [];
}

function conditionText(value: Json | undefined): string {
  if (!isObject(value)) return '';
  const inner = isObject(value['value']) ? value['value'] : value;
  const operator = typeof inner['operator'] === 'string' ? inner['operator'] : '';
  return [bindingText(inner['left']), operator.replaceAll('_', ' '), bindingText(inner['right'])].filter(Boolean).join(' ');
}

/** What a node takes an input from, in short. */
export function bindingText(binding: Json | undefined): string {
  if (!isObject(binding)) return '';
  const content = binding['content'];
  if (binding['type'] === 'ref' && Array.isArray(content)) return content.map(String).join('.');
  if (content === undefined || content === null) return '';
  const text = typeof content === 'string' ? content : JSON.stringify(content, (_, each: unknown) => (typeof each === 'bigint' ? each.toString() : each));
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function list(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

/** The schema of the inputs that the workflow takes: the outputs of its start node. */
export function inputsSchema(workflow: Workflow): JsonObject | undefined {
  const start = workflow.nodes.find((each) => each.type === 'start');
  const outputs = start?.data['outputs'];
  return isObject(outputs) ? outputs : undefined;
}

/** The nodes that a problem names, in quotes or by their place, so that they can be marked. */
export function nodesNamedIn(problem: string, workflow: Workflow): string[] {
  return [...problem.matchAll(/"([^"]*)"|'([^']*)'/g)].map((match) => match[1] ?? match[2] ?? '').filter((name) => workflow.all.has(name));
}
