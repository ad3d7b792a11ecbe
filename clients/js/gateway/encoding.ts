/**
 * Messages of the contract as JSON: the mapping of Protocol Buffers with the contract's names and with default values,
 * except that JSON documents are embedded, or left out if they are empty, and that 64-bit integers are numbers. The JSON
 * is one line.
 */

import { isMessage, ScalarType, toJson, type DescEnum, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";

import { compact } from "./documents.js";

/** The fields of the contract that hold JSON text. */
const DOCUMENTS: ReadonlySet<string> = new Set(["inputs", "outputs", "data"]);

/** The JSON text of a message. */
export function encode<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return encodeMessage(reflect(schema, message));
}

function encodeMessage(message: ReflectMessage): string {
  if (isMessage(message.message, TimestampSchema)) {
    return JSON.stringify(toJson(TimestampSchema, message.message));
  }
  if (isMessage(message.message, DurationSchema)) {
    return JSON.stringify(toJson(DurationSchema, message.message));
  }
  const members: string[] = [];
  for (const field of message.fields) {
    if ((field.oneof !== undefined || field.fieldKind === "message") && !message.isSet(field)) {
      continue;
    }
    let text: string;
    switch (field.fieldKind) {
      case "scalar": {
        const value = message.get(field);
        if (field.scalar === ScalarType.STRING && DOCUMENTS.has(field.name)) {
          if (value === "") {
            continue;
          }
          text = compact(value as string);
        } else {
          text = encodeScalar(value);
        }
        break;
      }
      case "enum":
        text = encodeEnum(field.enum, message.get(field));
        break;
      case "message":
        text = encodeMessage(message.get(field));
        break;
      case "list":
        text = `[${Array.from(message.get(field), (item) => encodeItem(field.enum, item)).join(",")}]`;
        break;
      case "map": {
        const entries = Array.from(message.get(field), ([key, item]) => [String(key), item] as const);
        entries.sort(([a], [b]) => (a < b ? -1 : 1));
        const pairs = entries.map(([key, item]) => `${JSON.stringify(key)}:${encodeItem(field.enum, item)}`);
        text = `{${pairs.join(",")}}`;
        break;
      }
    }
    members.push(`"${field.name}":${text}`);
  }
  return `{${members.join(",")}}`;
}

function encodeItem(desc: DescEnum | undefined, item: unknown): string {
  if (typeof item === "object" && item !== null && "message" in item) {
    return encodeMessage(item as ReflectMessage);
  }
  return desc === undefined ? encodeScalar(item) : encodeEnum(desc, item as number);
}

function encodeEnum(desc: DescEnum, number: number): string {
  const value = desc.value[number];
  return value === undefined ? String(number) : JSON.stringify(value.name); // one that came after this version
}

function encodeScalar(value: unknown): string {
  return typeof value === "bigint" ? value.toString() : JSON.stringify(value);
}
