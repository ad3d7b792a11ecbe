// Runs one scenario in a real browser: node tests/console/browser.mjs FILE NAME, with its world as JSON in WORLD.
//
// What a scenario wants of the server's process it asks the test for: a line `ask WORD` goes out, a line with a JSON value comes
// back. A scenario fails if it throws, if the page asks anything of another origin, or if it writes an error to its console.
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { chromium } from '../../console/node_modules/playwright-core/index.mjs';

const [, , file, name] = process.argv;
const world = JSON.parse(process.env.WORLD);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** What the test answers to a word, such as `kill`. */
async function ask(word) {
  process.stdout.write(`ask ${word}\n`);
  return JSON.parse((await lines.next()).value);
}

const browser = await chromium.launch({ executablePath: world.chromium, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const found = [];
/** Errors that the scenario brings about on purpose. */
const expected = [];

/** A page in a browser of its own, watched for what it must never do. */
async function open(options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    reducedMotion: 'reduce',
    ...options,
  });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(world.url) && !/^(data|blob):/.test(url)) found.push(`a request left the origin: ${url}`);
  });
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    const text = `${message.text()} ${message.location().url}`;
    if (!expected.some((pattern) => pattern.test(text))) found.push(`an error on the console: ${text}`);
  });
  page.on('pageerror', (error) => found.push(`an error in the page: ${error.stack}`));
  return page;
}

async function call(method, path, body) {
  const response = await fetch(world.url + path, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Starts a workflow, and gives the task's id. */
async function run(workflow, inputs = {}, more = {}) {
  return (await call('POST', '/api/task/run', { schema: JSON.stringify(workflow), inputs, ...more })).taskID;
}

/** The report of a task once it has ended. */
async function ended(taskID) {
  for (;;) {
    const report = await call('GET', `/api/task/report?taskID=${taskID}`);
    if (report.workflowStatus.terminated) return report;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Throws unless a value is as wanted. */
function same(value, wanted, what = 'the value') {
  const [one, other] = [JSON.stringify(value), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`${what} is ${one}, and not ${other}`);
}

/** Waits until a condition holds. */
async function until(condition, what) {
  for (let count = 0; count < 600; count += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`never: ${what}`);
}

let status = 0;
try {
  const scenarios = await import(pathToFileURL(file).href);
  await scenarios[name]({ world, open, ask, call, run, ended, same, until, expected });
} catch (error) {
  found.push(error.stack ?? String(error));
  if (world.pictures) {
    for (const [index, page] of browser.contexts().flatMap((context) => context.pages()).entries()) {
      await page.screenshot({ path: `${world.pictures}/${name}-${index}.png` }).catch(() => undefined);
    }
  }
}
await browser.close();
if (found.length > 0) {
  process.stdout.write(`${found.join('\n')}\n`);
  status = 1;
}
process.exit(status);
