// FlowGram's own runtime, @flowgram.ai/runtime-js, behind a bare HTTP server, for comparison: POST / with {schema, inputs}
// answers with the outputs once the task has ended, or with status 500. Its first line of output is its address.
//
// Everything is in its favor: a task is waited for by its promise, which the package does not offer, and not by polling; it is
// forgotten when it has ended, where the package keeps it for ever; and nothing is printed.
// The package is that of the conformance tests: tests/conformance/node_modules, or FLOWGRAM_REFERENCE names another folder.
import { createServer } from 'node:http';
import { createRequire, register } from 'node:module';
import { json } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';

const print = console.log;
for (const name of ['log', 'info', 'warn', 'error', 'debug']) console[name] = () => {};
process.on('unhandledRejection', () => {});

const folder = process.env.FLOWGRAM_REFERENCE ?? fileURLToPath(new URL('../tests/conformance/', import.meta.url));
const found = createRequire(`${folder}/`).resolve('@flowgram.ai/runtime-js');
// Its CommonJS entry does not load; the ES module lies beside it.
const entry = pathToFileURL(found.replace(/dist[\\/].*$/, 'dist/esm/index.js')).href;
const exportsApplication = `
  export async function load(url, context, next) {
    const loaded = await next(url, context);
    return url === ${JSON.stringify(entry)}
      ? { ...loaded, source: loaded.source + '\\nexport { WorkflowApplication };' }
      : loaded;
  }`;
register(`data:text/javascript,${encodeURIComponent(exportsApplication)}`);
const { TaskRunAPI, WorkflowApplication } = await import(entry);

async function run({ schema, inputs }) {
  const { taskID } = await TaskRunAPI({ schema: JSON.stringify(schema), inputs });
  const { tasks } = WorkflowApplication.instance;
  const task = tasks.get(taskID);
  try {
    await task.processing;
    const { status } = task.context.statusCenter.workflow;
    if (status !== 'succeeded') throw new Error(`the task is ${status}`);
    return task.context.ioCenter.outputs;
  } finally {
    tasks.delete(taskID);
  }
}

const server = createServer((request, response) => {
  json(request)
    .then(run)
    .then(
      (outputs) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(outputs)),
      (error) => response.writeHead(500).end(String(error?.message ?? error)),
    );
});
server.keepAliveTimeout = 0; // connections stay while the other peer has its turn
server.listen(0, '127.0.0.1', () => print(`http://127.0.0.1:${server.address().port}`));
