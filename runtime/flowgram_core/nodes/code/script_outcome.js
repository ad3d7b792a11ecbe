// Reads the outcomes of scripts that script_runner.js leaves: errors, and values that JSON does not know. Evaluated after
// the script, in the same context: it uses the built-ins that it is given, and nothing that a script can replace.
"use strict";
(
  { parse, stringify, rawJSON, call, isArray, propertyIsEnumerable, slice, text, ...builtins },
  { isRefused, failed, value },
  saysNull,
) => {
  const { BuiltinReferenceError, BuiltinSyntaxError } = builtins;
  // Kinds of outcomes: the codes of the characters that begin an answer.
  const VALUE = 61;
  const ERROR = 33;
  const SYNTAX_ERROR = 126;
  const NOT_DEFINED = " is not defined";
  // An error's properties are hidden from JSON. FlowGram shows these three, of whatever object has them.
  const SHOWN = ["name", "message", "stack"];

  const isObject = (value) => typeof value === "object" && value !== null;

  const exactIntegers = (key, value) => (typeof value === "bigint" ? rawJSON(text(value)) : value);

  // The JSON text of a value, or undefined where JSON has none. Circular objects and getters that throw throw.
  const toJSON = (value) => {
    try {
      return stringify(value);
    } catch {
      return stringify(value, exactIntegers);
    }
  };

  const withHiddenProperties = (value, json) => {
    if (!isObject(value) || isArray(value)) return json;
    const hidden = { __proto__: null };
    let found = false;
    for (let index = 0; index < SHOWN.length; index++) {
      const key = SHOWN[index];
      const property = value[key];
      if (property === undefined || call(propertyIsEnumerable, value, key)) continue;
      hidden[key] = property;
      found = true;
    }
    if (!found) return json;
    const plain = parse(json);
    return isObject(plain) && !isArray(plain) ? toJSON({ ...hidden, ...plain }) : json;
  };

  // What a script gave, as JSON text; "" stands for undefined.
  const show = (value) => {
    if (value === undefined || typeof value === "symbol") return "";
    let json;
    try {
      json = toJSON(value);
      if (json !== undefined) json = withHiddenProperties(value, json);
    } catch {
      json = undefined;
    }
    return json === undefined ? stringify(text(value)) : json;
  };

  const describe = (thrown) => {
    if (typeof thrown === "string") return thrown;
    if (isObject(thrown) || typeof thrown === "function") {
      const { message } = thrown;
      if (typeof message === "string") {
        // FlowGram's engine quotes the name, and this is the mistake that users meet most.
        if (thrown instanceof BuiltinReferenceError && call(slice, message, -NOT_DEFINED.length) === NOT_DEFINED) {
          const name = call(slice, message, 0, -NOT_DEFINED.length);
          if (name[0] !== "'") return `'${name}'${NOT_DEFINED}`;
        }
        return message;
      }
      const json = toJSON(thrown);
      if (json !== undefined) return json;
    }
    return text(thrown);
  };

  const tellError = (thrown) => {
    let message;
    try {
      // Refused is a script before any of it runs. One that runs can throw a SyntaxError as well.
      if (isRefused && thrown instanceof BuiltinSyntaxError) {
        return { kind: SYNTAX_ERROR, content: stringify({ __proto__: null, message: thrown.message, stack: thrown.stack }) };
      }
      // With no memory left for an error object, the engine throws null.
      const outOfMemory = thrown === null && !saysNull;
      message = outOfMemory ? "out of memory" : describe(thrown);
    } catch {
      message = "the thrown value has no text";
    }
    return { kind: ERROR, content: stringify(message) };
  };

  if (failed) return tellError(value);
  try {
    return { kind: VALUE, content: show(value) };
  } catch (error) {
    return tellError(error);
  }
}
