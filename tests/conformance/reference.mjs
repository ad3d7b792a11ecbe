// Drives FlowGram's own runtime, @flowgram.ai/runtime-js, for comparison. JSON lines in, JSON lines out, in any order:
//
//   {id, op: "run" | "validate", schema: text, inputs: text, limit: milliseconds}
//   -> {id, validate: {valid, errors}, report?, result?, stuck?}    or    {id, error: text}
//
// Many cases are in flight at once; they do not influence each other. An invalid schema is not run: the runtime would
// "run" and fail it. The runtime keeps every task for ever, so that the caller starts a new process now and then; it
// prints on every call, which is silenced; and it never answers where a code node really awaits, hence the limit.
import { createInterface } from 'node:readline';

for (const name of ['log', 'info', 'warn', 'error', 'debug']) console[name] = () => {};
process.on('unhandledRejection', () => {});

const { TaskRunAPI, TaskReportAPI, TaskResultAPI, TaskValidateAPI } = await import('@flowgram.ai/runtime-js');

const soon = () => new Promise((resolve) => setImmediate(resolve));
const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function validate(schema, inputs) {
  try {
    return await TaskValidateAPI({ schema, inputs: JSON.parse(inputs) });
  } catch (error) {
    return { valid: false, errors: [String(error?.message ?? error)] };
  }
}

async function run(schema, inputs, limit) {
  const { taskID } = await TaskRunAPI({ schema, inputs: JSON.parse(inputs) });
  const deadline = performance.now() + limit;
  let result;
  for (let turn = 0; (result = await TaskResultAPI({ taskID })) === undefined; turn++) {
    if (performance.now() > deadline) return { report: await TaskReportAPI({ taskID }), stuck: true };
    await (turn < 5 ? soon() : later(3));
  }
  // After a failure, branches that were running go on until they look at the task's status.
  await soon();
  await soon();
  return { result, report: await TaskReportAPI({ taskID }) };
}

async function answer({ id, op, schema, inputs, limit = 5000 }) {
  const outcome = { id, validate: await validate(schema, inputs) };
  if (op === 'run' && outcome.validate.valid) Object.assign(outcome, await run(schema, inputs, limit));
  return outcome;
}

for await (const line of createInterface({ input: process.stdin })) {
  if (!line) continue;
  const request = JSON.parse(line);
  answer(request)
    .catch((error) => ({ id: request.id, error: String(error?.message ?? error) }))
    .then((outcome) => process.stdout.write(`${JSON.stringify(outcome)}\n`));
}
