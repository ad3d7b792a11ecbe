// Runs a script's `main` and tells the outcome as text. Evaluated in a fresh context before the script; the built-ins
// that it needs are taken here, so that nothing the script does to the globals can change how its outcome is read.
(() => {
  "use strict";

  // Called by another name, eval is indirect: the script sees the global scope, and nothing of this function.
  const evaluate = eval;
  const { parse, stringify, rawJSON } = JSON;
  const { apply } = Reflect;
  const { propertyIsEnumerable } = Object.prototype;
  const { isArray } = Array;
  const { endsWith, includes, slice } = String.prototype;
  const { then } = Promise.prototype;
  const text = String;
  const BuiltinPromise = Promise;
  const BuiltinReferenceError = ReferenceError;

  // A precise clock helps attacks on the processor's caches, and FlowGram's own scripts have none.
  delete globalThis.performance;

  const VALUE = "=";
  const ERROR = "!";
  const NOT_DEFINED = " is not defined";

  // Whether the script may throw null itself.
  let throwsNull = false;
  // Which of the two it was ("" as long as it is open), and its JSON text.
  let kind = "";
  let content = "";

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

  // An error's properties are hidden from JSON. FlowGram shows these three, of whatever object has them.
  const SHOWN = ["name", "message", "stack"];

  const withHiddenProperties = (value, json) => {
    if (!isObject(value) || isArray(value)) return json;
    const hidden = {};
    let found = false;
    for (let index = 0; index < SHOWN.length; index++) {
      const key = SHOWN[index];
      const property = value[key];
      if (property === undefined || apply(propertyIsEnumerable, value, [key])) continue;
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
        if (thrown instanceof BuiltinReferenceError && apply(endsWith, message, [NOT_DEFINED])) {
          const name = apply(slice, message, [0, -NOT_DEFINED.length]);
          if (name[0] !== "'") return `'${name}'${NOT_DEFINED}`;
        }
        return message;
      }
      const json = toJSON(thrown);
      if (json !== undefined) return json;
    }
    return text(thrown);
  };

  const fail = (thrown) => {
    let message;
    try {
      // With no memory left for an error object, the engine throws null.
      message = thrown === null && !throwsNull ? "out of memory" : describe(thrown);
    } catch {
      message = "the thrown value has no text";
    }
    content = stringify(message);
    kind = ERROR;
  };

  const succeed = (value) => {
    try {
      content = show(value);
      kind = VALUE;
    } catch (error) {
      fail(error);
    }
  };

  const run = (source, params) => {
    try {
      const content = parse(source);
      throwsNull = apply(includes, content, ["null"]);
      const script = `'use strict';

${content}

if (typeof main !== 'function') {
  throw new Error('main function is required in the script');
}
main`;
      const main = evaluate(script);
      const result = main({ params: parse(params) });
      if (result instanceof BuiltinPromise) apply(then, result, [succeed, fail]);
      else succeed(result);
    } catch (error) {
      fail(error);
    }
  };

  // Requests: to run a script with its parameters (both as JSON text); the kind of the outcome; its content.
  // Kind and content are told apart because a string put together from parts cannot be handed out of the engine.
  return (request, source, params) => {
    if (request === "run") run(source, params);
    else return request === "kind" ? kind : content;
  };
})();
