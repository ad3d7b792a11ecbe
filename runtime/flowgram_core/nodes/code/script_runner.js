// Runs a script's `main` in a fresh context. Evaluated before the script: it takes the built-ins that it needs, so that
// nothing that the script does to the globals can change how its outcome is read. It is kept short because every job
// evaluates it: most outcomes are read here, script_outcome.js reads the others.
(() => {
  "use strict";

  const builtins = {
    parse: JSON.parse,
    stringify: JSON.stringify,
    rawJSON: JSON.rawJSON,
    // `call(f, this, ...)`, whatever becomes of `f.call`. Reflect.apply does the same; reading it makes all functions of Reflect.
    call: Function.prototype.call.bind(Function.prototype.call),
    isArray: Array.isArray,
    propertyIsEnumerable: Object.prototype.propertyIsEnumerable,
    slice: String.prototype.slice,
    text: String,
    BuiltinReferenceError: ReferenceError,
    BuiltinSyntaxError: SyntaxError,
  };
  const { parse, stringify, call, isArray, propertyIsEnumerable } = builtins;
  const BuiltinPromise = Promise;
  const { then } = BuiltinPromise.prototype;

  // A precise clock helps attacks on the processor's caches, and FlowGram's own scripts have none.
  delete globalThis.performance;
  // With it a script could get hold of the functions in this file.
  delete Error.prepareStackTrace;

  // Kinds of outcomes: the codes of the characters that begin an answer, and two that quickjs_engine.py lists.
  const OPEN = 0;
  const NOT_READ = 1;
  const VALUE = 61;

  let kind = OPEN;
  // The outcome as JSON text.
  let content = "";
  // For outcomes that are not read here: what script_outcome.js has to know.
  const outcome = { isRefused: false, failed: false, value: undefined };

  const hides = (value, key, property) => property !== undefined && !call(propertyIsEnumerable, value, key);

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
      kind = VALUE;
      return;
    }
    try {
      const json = stringify(value);
      if (json !== undefined && isSimple(value)) {
        content = json;
        kind = VALUE;
        return;
      }
    } catch {}
    outcome.value = value;
    kind = NOT_READ;
  };

  const fail = (thrown) => {
    outcome.failed = true;
    outcome.value = thrown;
    kind = NOT_READ;
  };

  // Returns the promise that there is an outcome after, if there is one.
  const run = (params, main) => {
    try {
      const result = main({ params: parse(params) });
      if (result instanceof BuiltinPromise) {
        call(then, result, succeed, fail);
        return result;
      }
      succeed(result);
    } catch (error) {
      fail(error);
    }
  };

  // Requests, as quickjs_engine.py lists them: the kind of the outcome, or its content where the outcome is a value that was
  // read; its content; to run with parameters as JSON text a script's `main`,
  // which may give its promise first; the text of a script that comes as JSON text; to
  // take what the evaluation of a script threw, or, as well, what the engine threw that refuses it; to read the outcome with
  // the function of script_outcome.js.
  return (request, first, second) => {
    switch (request) {
      case 0:
        break;
      case 1:
        return content;
      case 2:
        return run(first, second) ?? (kind === VALUE ? content : kind);
      case 3:
        return parse(first);
      case 4:
        outcome.isRefused = second;
        fail(first);
        break;
      case 5:
        ({ kind, content } = first(builtins, outcome, second));
        return kind;
    }
    return kind === VALUE ? content : kind;
  };
})();
