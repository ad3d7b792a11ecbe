/** Reads what somebody gives as a workflow: the editor's JSON, or a file with the workflow as `schema` and maybe `inputs`. */

import { isObject, parseJson, toJson, type Json, type JsonObject } from '../api/json';
import { workflowOf, type Workflow } from '../model/workflow';
import { texts } from '../texts';

export interface WorkflowFile {
  workflow: Workflow;
  /** JSON text of the workflow alone, as it is sent. */
  schema: string;
  inputs: JsonObject | undefined;
  description: string;
}

/** Deeper is no workflow, and more than what reads it can stand. */
const DEEPEST = 500;

/** Throws an Error whose message is for people. */
export function readWorkflowFile(text: string): WorkflowFile {
  const json = read(text);
  if (!isObject(json)) throw new Error(texts.run.notWorkflow);
  let schema: Json | undefined = 'schema' in json && !('nodes' in json) ? json['schema'] : json;
  if (typeof schema === 'string') schema = read(schema);
  if (!isObject(schema) || !('nodes' in schema)) throw new Error(texts.run.notWorkflow);
  const inputs = schema !== json && isObject(json['inputs']) ? json['inputs'] : undefined;
  const description = schema !== json && typeof json['description'] === 'string' ? json['description'] : '';
  return { workflow: workflowOf(schema), schema: toJson(schema), inputs, description };
}

function read(text: string): Json {
  if (isDeeper(text, DEEPEST)) throw new Error(texts.run.tooDeep);
  try {
    return parseJson(text);
  } catch (error) {
    throw new Error(texts.run.notJson((error as Error).message), { cause: error });
  }
}

/** Whether brackets outside of texts are nested deeper. What opens is counted, so that a text that is no JSON may be told so. */
function isDeeper(text: string, most: number): boolean {
  let depth = 0;
  for (const [found] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/gs)) {
    if (found === '[' || found === '{') depth += 1;
    else if (found === ']' || found === '}') depth -= 1;
    if (depth > most) return true;
  }
  return false;
}

/** Labels from lines of `key=value`. */
export function readLabels(text: string): { labels: Record<string, string>; problem: string | undefined } {
  const labels: Record<string, string> = {};
  for (const line of text.split('\n').map((each) => each.trim())) {
    if (line === '') continue;
    const equals = line.indexOf('=');
    if (equals <= 0) return { labels, problem: texts.run.labelsBad(line) };
    labels[line.slice(0, equals).trim()] = line.slice(equals + 1).trim();
  }
  return { labels, problem: undefined };
}
