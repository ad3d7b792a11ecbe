// Times workflows in FlowGram's own runtime, @flowgram.ai/runtime-js, in this process, for comparison.
//
//   stdin:  [{name, schema: object, inputs: object, repeat}, …]
//   stdout: [{name, median_ms, min_ms, runs, status}, …]
//
// A run is timed from TaskRun to the first TaskResult that has an answer, one run at a time, after ten runs to warm
// up. The runtime mutates the schema that it is given, hence takes it as text, so that parsing is part of it.
// The package is that of the conformance tests: tests/conformance/node_modules, or FLOWGRAM_REFERENCE names another folder.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';

for (const name of ['log', 'info', 'warn', 'error', 'debug']) console[name] = () => {};
process.on('unhandledRejection', () => {});

const folder = process.env.FLOWGRAM_REFERENCE ?? fileURLToPath(new URL('../tests/conformance/', import.meta.url));
const found = createRequire(`${folder}/`).resolve('@flowgram.ai/runtime-js');
// Its CommonJS entry does not load; the ES module lies beside it.
const entry = found.replace(/dist[\\/].*$/, 'dist/esm/index.js');
const { TaskRunAPI, TaskReportAPI, TaskResultAPI } = await import(pathToFileURL(entry));

const SLOWEST_RUN_MS = 60_000;
const WARM_UP_RUNS = 10;

async function once(schema, inputs) {
  const began = performance.now();
  const { taskID } = await TaskRunAPI({ schema, inputs });
  while ((await TaskResultAPI({ taskID })) === undefined) {
    if (performance.now() - began > SLOWEST_RUN_MS) throw new Error('the workflow does not end');
    await new Promise(setImmediate);
  }
  const milliseconds = performance.now() - began;
  return { milliseconds, taskID };
}

async function measure({ name, schema, inputs = {}, repeat = 15 }) {
  const schemaText = JSON.stringify(schema);
  for (let run = 0; run < WARM_UP_RUNS; run++) await once(schemaText, inputs);
  const times = [];
  let last;
  for (let run = 0; run < repeat; run++) {
    last = await once(schemaText, inputs);
    times.push(last.milliseconds);
  }
  times.sort((a, b) => a - b);
  const middle = times.length >> 1;
  const median = times.length % 2 ? times[middle] : (times[middle - 1] + times[middle]) / 2;
  const report = await TaskReportAPI({ taskID: last.taskID });
  return { name, median_ms: median, min_ms: times[0], runs: times.length, status: report.workflowStatus.status };
}

const results = [];
for (const workflow of JSON.parse(await text(process.stdin))) results.push(await measure(workflow));
process.stdout.write(`${JSON.stringify(results)}\n`);
process.exit(0);
