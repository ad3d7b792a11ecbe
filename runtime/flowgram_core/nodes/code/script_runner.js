// Runs a script's `main` in a fresh context. Evaluated before the script: it takes the built-ins that it needs, so that
// nothing that the script does to the globals can change how its outcome is read. It is kept short because every job
// evaluates it: most outcomes are read here, script_outcome.js reads the others.
(() => {
  "use strict";

  const builtins = {
    // Called by another name, eval is indirect: the script sees the global scope, and nothing of this function.
    evaluate: eval,
    parse: JSON.parse,
    stringify: JSON.stringify,
    rawJSON: JSON.rawJSON,
    apply: Reflect.apply,
    isArray: Array.isArray,
    propertyIsEnumerable: Object.prototype.propertyIsEnumerable,
    endsWith: String.prototype.endsWith,
    includes: String.prototype.includes,
    indexOf: String.prototype.indexOf,
    slice: String.prototype.slice,
    text: String,
    BuiltinReferenceError: ReferenceError,
    BuiltinSyntaxError: SyntaxError,
  };
  const { evaluate, parse, stringify, apply, isArray, propertyIsEnumerable } = builtins;
  const BuiltinPromise = Promise;
  const { then } = BuiltinPromise.prototype;

  // A precise clock helps attacks on the processor's caches, and FlowGram's own scripts have none.
  delete globalThis.performance;
  // With it a script could get hold of the functions in this file.
  delete Error.prepareStackTrace;

  // Which outcome it was, as quickjs_worker.py lists them, and its JSON text. "" while it is open.
  let kind = "";
  let content = "";
  // For outcomes that are not read here: what script_outcome.js has to know.
  const outcome = { script: "", evaluating: true, failed: false, value: undefined };

  const hides = (value, key, property) => property !== undefined && !apply(propertyIsEnumerable, value, [key]);

  const isSimple = (value) => {
    switch (typeof value) {
      case "string":
      case "number":
      case "boolean":
        return true;
      case "object":
        if (value === null || isArray(value)) return true;
        return !(hides(value, "name", value.name) || hides(value, "message", value.message) || hides(value, "stack", value.stack));
    }
    return false;
  };

  const succeed = (value) => {
    if (value === undefined) {
      kind = "=";
      return;
    }
    try {
      const json = stringify(value);
      if (json !== undefined && isSimple(value)) {
        content = json;
        kind = "=";
        return;
      }
    } catch {}
    outcome.value = value;
    kind = "?";
  };

  const fail = (thrown) => {
    outcome.failed = true;
    outcome.value = thrown;
    kind = "?";
  };

  const run = (source, params) => {
    try {
      // On one line with the script's first, so that the lines of its errors are those of the script.
      outcome.script = `'use strict';${parse(source)}

if (typeof main !== 'function') {
  throw new Error('main function is required in the script');
}
main`;
      const main = evaluate(outcome.script);
      outcome.evaluating = false;
      const result = main({ params: parse(params) });
      if (result instanceof BuiltinPromise) apply(then, result, [succeed, fail]);
      else succeed(result);
    } catch (error) {
      fail(error);
    }
  };

  // Requests: to run a script with its parameters (both as JSON text); the kind of the outcome; its content; to read the
  // outcome with script_outcome.js. Kind and content are given one by one because a string that was put together from
  // parts cannot be handed out of the engine.
  return (request, first, second) => {
    if (request === "run") run(first, second);
    else if (request === "kind") return kind;
    else if (request === "content") return content;
    else ({ kind, content } = evaluate(first)(builtins, outcome));
  };
})();
