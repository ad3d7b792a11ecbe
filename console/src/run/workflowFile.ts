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

/** Throws an Error whose message is for people. */
export function readWorkflowFile(text: string): WorkflowFile {
  let json: Json;
  try {
    json = parseJson(text);
  } catch (error) {
    throw new Error(texts.run.notJson((error as Error).message), { cause: error });
  }
  if (!isObject(json)) throw new Error(texts.run.notWorkflow);
  let schema: Json | undefined = 'schema' in json && !('nodes' in json) ? json['schema'] : json;
  if (typeof schema === 'string') {
    try {
      schema = parseJson(schema);
    } catch (error) {
      throw new Error(texts.run.notJson((error as Error).message), { cause: error });
    }
  }
  if (!isObject(schema) || !('nodes' in schema)) throw new Error(texts.run.notWorkflow);
  const inputs = schema !== json && isObject(json['inputs']) ? json['inputs'] : undefined;
  const description = schema !== json && typeof json['description'] === 'string' ? json['description'] : '';
  return { workflow: workflowOf(schema), schema: toJson(schema), inputs, description };
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
