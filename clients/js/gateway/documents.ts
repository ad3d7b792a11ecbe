/** JSON documents as text: they go through the gateway without being understood, so that every digit stays. */

import { endOfString } from "../src/json.js";

const SPACE = /"|[ \t\r\n]+/g;
const STRUCTURE = /["{}[\],]/g;

/** JSON text without the white space between its tokens. Text that is no JSON becomes a JSON string. */
export function compact(text: string): string {
  try {
    JSON.parse(text);
  } catch {
    return JSON.stringify(text);
  }
  const pieces: string[] = [];
  let copied = 0;
  SPACE.lastIndex = 0;
  for (let found = SPACE.exec(text); found !== null; found = SPACE.exec(text)) {
    if (found[0] === '"') {
      SPACE.lastIndex = endOfString(text, found.index);
    } else {
      pieces.push(text.slice(copied, found.index));
      copied = SPACE.lastIndex;
    }
  }
  pieces.push(text.slice(copied));
  return pieces.join("");
}

/** The texts of the values of a JSON object, by name. The text must be that of one. */
export function membersOf(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let position = text.indexOf("{") + 1;
  for (;;) {
    const quote = text.indexOf('"', position);
    const end = text.indexOf("}", position);
    if (quote === -1 || end < quote) {
      return members; // nothing follows but the end: an object that is empty
    }
    const afterName = endOfString(text, quote);
    const start = text.indexOf(":", afterName) + 1;
    const stop = endOfValue(text, start);
    members.set(JSON.parse(text.slice(quote, afterName)) as string, text.slice(start, stop).trim());
    if (text[stop] !== ",") {
      return members;
    }
    position = stop + 1;
  }
}

/** Where a value that begins at `start` has ended: the position of the comma or the bracket behind it. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  STRUCTURE.lastIndex = start;
  for (let found = STRUCTURE.exec(text); found !== null; found = STRUCTURE.exec(text)) {
    switch (found[0]) {
      case '"':
        STRUCTURE.lastIndex = endOfString(text, found.index);
        break;
      case "{":
      case "[":
        depth++;
        break;
      case ",":
        if (depth === 0) {
          return found.index;
        }
        break;
      default:
        if (depth-- === 0) {
          return found.index;
        }
    }
  }
  return text.length;
}
