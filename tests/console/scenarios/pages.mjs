// The pages themselves: the list, the form, the keyboard, and who cannot see or has a small screen.
import { readFileSync } from 'node:fs';
import { example, loop, picture, script, silentModel } from './workflows.mjs';

const axe = readFileSync(new URL('../../../console/node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** Tasks appear as they are accepted, can be filtered by what the address says, and canceled together. */
export async function lists_tasks({ world, open, run, ended, same, until }) {
  const page = await open();
  await page.goto(`${world.url}/?label=list=yes`);
  await page.getByText('No task fits these filters.').waitFor();
  const ids = [];
  for (const name of ['first', 'second', 'third']) ids.push(await run(silentModel(world.model), {}, { displayName: name, labels: { list: 'yes' } }));
  await until(async () => (await page.locator('tr[data-status="processing"]').count()) === 3, 'three tasks run');
  same(await page.locator('.task-name').allTextContents(), ['third', 'second', 'first'], 'the order');
  await page.getByRole('searchbox').fill('sec');
  await page.waitForURL(/name=sec/);
  await until(async () => (await page.locator('tr[data-task]').count()) === 1, 'one task has the name');
  await page.getByText(/^All .* searched$/).waitFor();
  await page.getByRole('searchbox').fill('');
  await until(async () => (await page.locator('tr[data-task]').count()) === 3, 'all tasks are back');
  await page.getByLabel('Select all shown').check();
  await page.getByRole('button', { name: 'Cancel 3 tasks' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel 3 tasks' }).click();
  await page.getByText('3 tasks canceled').waitFor();
  await until(async () => (await page.locator('tr[data-status="canceled"]').count()) === 3, 'they are canceled');
  for (const id of ids) same((await ended(id)).workflowStatus.status, 'canceled', id);
  await page.getByRole('button', { name: 'Running', exact: true }).click();
  await page.waitForURL(/status=processing/);
  await page.getByText('No task fits these filters.').waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await page.locator(`tr[data-task="${ids[0]}"]`).waitFor();
}

/** Pages are loaded as one asks for them; while the list is paused, and while one reads further down, no row moves. */
export async function keeps_rows_where_they_are({ world, open, run, same, until }) {
  const workflow = script('function main() { return {} }');
  for (let count = 0; count < 120; count += 1) await run(workflow, {}, { displayName: `task ${count}`, labels: { pages: 'yes' } });
  const page = await open();
  await page.goto(`${world.url}/?label=pages=yes`);
  const rows = page.locator('tr[data-task]');
  await until(async () => (await rows.count()) === 50, 'the first page');
  await page.getByRole('button', { name: 'Load more' }).click();
  await until(async () => (await rows.count()) === 100, 'the second page');
  await page.evaluate(() => window.scrollTo(0, 2000));
  await run(workflow, {}, { displayName: 'new', labels: { pages: 'yes' } });
  await page.getByRole('button', { name: 'Show 1 new task' }).waitFor();
  same(await rows.count(), 100, 'the rows');
  await page.getByRole('button', { name: 'Show 1 new task' }).click();
  await page.getByText('new', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Live' }).click();
  await run(workflow, {}, { displayName: 'unseen', labels: { pages: 'yes' } });
  await new Promise((resolve) => setTimeout(resolve, 1000)); // nothing is to happen, and it would by now
  same(await page.getByText('unseen').count(), 0, 'what came in the pause');
  await page.getByRole('button', { name: 'Paused' }).click();
  await page.getByText('unseen').waitFor();
}

/** j and k go through the rows, Enter opens, x selects, / searches, ? explains. */
export async function works_with_the_keyboard({ world, open, run, ended, same }) {
  const ids = [];
  for (let count = 0; count < 3; count += 1) ids.push(await run(script('function main() { return { x: "a" } }')));
  await ended(ids[2]);
  const page = await open();
  await page.goto(`${world.url}/`);
  await page.locator(`tr[data-task="${ids[0]}"]`).waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  same(await page.locator('tbody input:checked').count(), 1, 'the selected rows');
  await page.keyboard.press('k');
  await page.keyboard.press('/');
  await page.keyboard.type('jj');
  same(await page.getByRole('searchbox').inputValue(), 'jj', 'what is searched for');
  await page.getByRole('searchbox').fill('');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('next / previous row').waitFor();
  await page.keyboard.press('Escape');
  await page.locator(`tr[data-task="${ids[1]}"] a`).focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(new RegExp(`/tasks/${ids[1]}`));
  await page.locator('.timeline-row').first().waitFor();
  for (let presses = 0; !page.url().includes('node=') && presses < 60; presses += 1) {
    await page.keyboard.press('j'); // not heard before the page has all its parts
    await page.waitForURL(/node=/, { timeout: 500 }).catch(() => undefined);
  }
  await page.waitForURL(/node=/);
  await page.keyboard.press('Escape');
  await page.locator('.details-pane').getByRole('heading', { name: 'Task', exact: true }).waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await page.getByRole('heading', { name: 'Run a workflow' }).waitFor();
}

/** Every type of the schema has its field; what is sent is what was filled in, with every digit. */
export async function fills_in_a_form({ world, open, ended, same }) {
  const workflow = script('function main() { return { x: "a" } }');
  workflow.nodes[0].data.outputs = {
    type: 'object',
    required: ['id', 'lines'],
    properties: {
      id: { type: 'integer', description: 'a long number' },
      text: { type: 'string', default: 'as usual' },
      rate: { type: 'number' },
      on: { type: 'boolean' },
      at: { type: 'string', format: 'date-time' },
      color: { type: 'string', enum: ['red', 'green'] },
      lines: { type: 'array', items: { type: 'object', required: ['sku'], properties: { sku: { type: 'string' }, count: { type: 'integer' } } } },
      prices: { type: 'map', additionalProperties: { type: 'number' } },
      more: { type: 'object' },
    },
  };
  const page = await open();
  await page.goto(`${world.url}/run`);
  await page.getByLabel('Workflow JSON').fill(JSON.stringify(workflow));
  await page.getByRole('button', { name: 'Use this workflow' }).click();
  same(await page.getByRole('button', { name: 'Run', exact: true }).isDisabled(), true, 'the button before what is required is there');
  await page.getByLabel('id', { exact: false }).first().fill('12345678901234567890');
  same(await page.getByLabel('text').inputValue(), 'as usual', 'the default');
  await page.getByLabel('rate').fill('0.5');
  await page.getByLabel('on', { exact: false }).first().selectOption('true');
  await page.getByLabel('at date-time').fill('2026-01-31T12:30:00Z');
  await page.getByLabel('color').selectOption('green');
  const lines = page.getByRole('group', { name: 'lines' });
  await lines.getByRole('button', { name: 'Add' }).click();
  await lines.getByLabel('sku').fill('x-1');
  const prices = page.getByRole('group', { name: 'prices' });
  await prices.getByRole('button', { name: 'Give a value' }).click();
  await prices.getByRole('button', { name: 'Add' }).click();
  await prices.getByLabel('Key', { exact: true }).fill('usd');
  await prices.getByLabel('usd').fill('9.99');
  await page.getByLabel('more').fill('{"a": [1]}');
  await page.getByText('Ready to run.').waitFor();
  await page.getByRole('button', { name: 'JSON', exact: true }).click();
  const raw = JSON.parse(await page.getByLabel('Inputs').last().inputValue());
  same({ ...raw, id: 0 }, { id: 0, text: 'as usual', rate: 0.5, on: true, at: '2026-01-31T12:30:00Z', color: 'green', lines: [{ sku: 'x-1' }], prices: { usd: 9.99 }, more: { a: [1] } }, 'the inputs');
  await page.getByRole('button', { name: 'Form', exact: true }).click();
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.waitForURL(/\/tasks\//);
  const taskID = new URL(page.url()).pathname.split('/').at(-1);
  await ended(taskID);
  const text = await (await fetch(`${world.url}/api/task?taskID=${taskID}`)).text();
  if (!text.includes('12345678901234567890')) throw new Error(`digits are missing in ${text}`);
  // Once more from the task's page, with its inputs as they were.
  await page.getByRole('button', { name: 'Run again' }).click();
  await page.waitForURL((url) => /\/tasks\//.test(url.pathname) && !url.pathname.includes(taskID));
  const again = new URL(page.url()).pathname.split('/').at(-1);
  same((await (await fetch(`${world.url}/api/task?taskID=${again}`)).text()).includes('12345678901234567890'), true, 'all digits again');
}

/** Files that are no workflows are refused in words; of those that are not valid, each problem is shown and its node marked. */
export async function tells_what_is_wrong_with_a_workflow({ world, open, same, until, expected }) {
  expected.push(/400/);
  const page = await open();
  await page.goto(`${world.url}/run`);
  const give = async (text) => {
    await page.getByLabel('Workflow JSON').fill(text);
    await page.getByRole('button', { name: 'Use this workflow' }).click();
  };
  await give('{"nodes": [');
  await page.getByText('This is no JSON', { exact: false }).waitFor();
  await give('{"a": 1}');
  await page.getByText('This is JSON, but no workflow', { exact: false }).waitFor();
  const file = async (buffer) => page.locator('input[type=file]').setInputFiles({ name: 'some.json', mimeType: 'application/json', buffer });
  await file(Buffer.alloc(5e6, 0xff));
  await page.getByText('This is no JSON', { exact: false }).waitFor();
  await file(Buffer.from(`{"nodes": ${'['.repeat(1e5)}${']'.repeat(1e5)}}`));
  await page.getByText('This is nested too deep to be a workflow.').waitFor();
  await file(Buffer.from(JSON.stringify({ nodes: [{ id: 'odd', type: '<i>', data: { title: 'x'.repeat(5e6) } }, 7], edges: 'none' })));
  await page.locator('.flow-node[data-node="odd"]').waitFor();
  await page.getByRole('alert').first().waitFor();
  await page.getByRole('button', { name: 'Another workflow' }).click();
  const workflow = script('function main() {}');
  workflow.edges.push({ sourceNodeID: 'code_0', targetNodeID: 'gone' }, { sourceNodeID: 'end_0', targetNodeID: 'start_0' });
  await give(JSON.stringify(workflow));
  await page.getByRole('alert').getByText('"gone"', { exact: false }).waitFor();
  await until(async () => (await page.locator('.flow-node').count()) === 3, 'the graph is drawn all the same');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByRole('alert').getByText('"gone"', { exact: false }).waitFor();
  same(new URL(page.url()).pathname, '/run', 'the page');
}

/** Whatever is answered in place of the server's own answers, the page says calmly what it knows, and goes on when they are back. */
export async function stays_calm({ world, open, run, ended, same, until, expected }) {
  expected.push(/40[04]|500/);
  const taskID = await run(loop(), { items: Array.from({ length: 200 }, (_, index) => index) }, { displayName: 'calm' });
  await ended(taskID);
  const page = await open();
  const badge = page.locator('.task-title .badge');
  const banner = page.getByText('The server is away.', { exact: false });
  // A proxy's page, bytes that mean nothing, and an answer that is cut in the middle of an event; then the server itself.
  const answers = [
    { contentType: 'text/html', body: '<html>Please sign in to the network</html>' },
    { contentType: 'application/x-protobuf', body: Buffer.from([0x0a, 0x05, 0xff, 0xff, 0xff, 0xff, 0xff]) },
    { contentType: 'application/x-protobuf', body: '' },
  ];
  let cut = 0;
  await page.route('**/api/task/watch?*', async (route) => {
    const answer = answers.shift();
    if (answer) return route.fulfill(answer);
    if (cut === 3) return route.continue();
    cut += 1;
    const response = await route.fetch();
    const body = await response.body();
    return route.fulfill({ response, body: body.subarray(0, Math.floor(body.length / 4) + 7) });
  });
  await page.goto(`${world.url}/tasks/${taskID}`);
  await banner.waitFor();
  await until(async () => (await page.locator('.timeline-tools .hint').textContent()) === '603 runs', 'all is read, without a gap');
  await until(async () => (await badge.textContent()) === 'Succeeded', 'the end is seen');
  await banner.waitFor({ state: 'hidden' });
  same([answers.length, cut], [0, 3], 'the answers that were none, and those that were cut');
  // What came after this version: statuses and types of nodes as they are called, and what has no form is left out.
  await page.route('**/api/task?*', async (route) => {
    const task = await (await route.fetch()).json();
    const workflow = JSON.parse(task.schema);
    workflow.nodes.push({ id: 'later_0', type: 'from-the-future', meta: { position: { x: 1e300, y: null } } }, 7, { id: 8 });
    return route.fulfill({ json: { ...task, schema: JSON.stringify(workflow), labels: { '<b>': '</b>' } } });
  });
  await page.goto(`${world.url}/tasks/${taskID}?at=9999&it=loop_0:777,zz:3&node=zzz&view=odd`);
  await page.locator('.flow-node[data-node="later_0"]').getByText('from-the-future').waitFor({ state: 'attached' });
  await page.unroute('**/api/task?*');
  await page.route('**/api/tasks?*', async (route) => {
    const list = await (await route.fetch()).json();
    list.tasks[0].workflowStatus.status = 'paused';
    return route.fulfill({ json: list });
  });
  await page.goto(`${world.url}/?status=odd&label=x&created=zz&name=calm`);
  await page.locator('tr[data-task] .badge').filter({ hasText: 'paused' }).waitFor();
  await page.route('**/api/tasks?*', (route) => route.fulfill({ contentType: 'text/html', body: '<html>' }));
  await page.goto(`${world.url}/`);
  await banner.waitFor();
  await page.unroute('**/api/tasks?*');
  await page.locator(`tr[data-task="${taskID}"]`).waitFor();
  for (const path of ['/nothing', '/tasks/a%2Fb/c']) {
    await page.goto(world.url + path);
    await page.getByRole('heading', { name: 'There is no such page.' }).waitFor();
  }
  // A task that was removed cannot be run again.
  await page.goto(`${world.url}/run?from=nothing`);
  await page.getByRole('alert').waitFor();
}

/** axe finds nothing serious on any page, light and dark, wide and at 360 pixels, where nothing must be scrolled sideways. */
export async function can_be_used_by_everybody({ world, open, run, ended, same }) {
  const { schema, inputs } = example('order_triage', world.model);
  const one = await run(schema, inputs, { displayName: 'one', labels: { a: 'b' } });
  const other = await run(schema, { order: { id: 'B', total: 3, items: [] } });
  const failed = await run(script('function main() { throw new Error("no") }'), {}, { displayName: 'failed' });
  const drawn = await run(picture());
  for (const id of [one, other, failed, drawn]) await ended(id);
  const paths = [
    ['/', `tr[data-task="${one}"]`],
    ['/?name=nothing-has-this-name', '.notice'],
    [`/tasks/${one}?node=condition_size`, '.flow-node[data-status="succeeded"]'],
    [`/tasks/${one}?view=timeline`, '.timeline-row'],
    [`/tasks/${failed}?view=details`, '.failure'],
    [`/tasks/${drawn}`, '.flow-comment'],
    ['/run', '.example'],
    [`/run?from=${one}`, '.run-form'],
    [`/compare?a=${one}&b=${other}`, 'tr[data-different="true"]'],
  ];
  for (const options of [{}, { colorScheme: 'dark' }, { viewport: { width: 360, height: 740 } }]) {
    const page = await open(options);
    for (const [path, there] of paths) {
      await page.goto(world.url + path);
      await page.locator(there).first().waitFor({ state: 'attached' });
      await page.evaluate(axe); // by the inspector, which the page's policy does not concern
      const { violations } = await page.evaluate(() => globalThis.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
      const serious = violations.filter((each) => ['serious', 'critical'].includes(each.impact)).map((each) => [each.id, each.nodes[0].html.slice(0, 300), each.nodes[0].failureSummary]);
      same(serious, [], `what axe finds at ${path} with ${JSON.stringify(options)}`);
      const [inner, content] = await page.evaluate(() => [document.documentElement.clientWidth, document.documentElement.scrollWidth]);
      if (content > inner) throw new Error(`${path} is ${content} pixels wide on a screen of ${inner}`);
    }
    await page.context().close();
  }
}

/** The description of the API works without anything from elsewhere. */
export async function shows_the_api({ world, open }) {
  const page = await open();
  await page.goto(`${world.url}/api/docs`);
  await page.getByText('/api/task/run').first().waitFor();
}

/** Where the server wants a key, the page asks for it, hands it over, and goes on; it keeps it nowhere. */
export async function signs_in({ world, open, same, expected }) {
  expected.push(/401/);
  const page = await open();
  let signedIn = false;
  const keys = [];
  await page.route('**/api/**', async (route) => {
    const request = route.request();
    if (new URL(request.url()).pathname === '/api/session') {
      keys.push(JSON.parse(request.postData()).key);
      signedIn = keys.at(-1) === 'right';
      if (signedIn) return route.fulfill({ status: 204 });
    }
    if (signedIn) return route.continue();
    return route.fulfill({ status: 401, contentType: 'application/json', body: '{"code": "CREDENTIALS_MISSING", "message": "no key", "errors": []}' });
  });
  await page.goto(`${world.url}/?status=failed`);
  await page.getByLabel('Key', { exact: true }).fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('The server does not take this key.').waitFor();
  await page.getByLabel('Key', { exact: true }).fill('right');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Tasks' }).waitFor();
  same(keys, ['wrong', 'right'], 'the keys');
  same(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.search]), [0, 0, '', '?status=failed'], 'what the page keeps');
}

/** An admin names the namespace whose tasks are shown: it is in the address, in all links, and in all requests. */
export async function names_a_namespace({ world, open, run, ended, same, until }) {
  const taskID = await run(script('function main() { return { x: "a" } }'), {}, { displayName: 'anybody’s' });
  await ended(taskID);
  const page = await open();
  const asked = [];
  await page.route('**/api/**', async (route) => {
    const request = route.request();
    const name = await request.headerValue('flowgram-namespace');
    asked.push([new URL(request.url()).pathname, name]);
    if (new URL(request.url()).pathname !== '/api/info') return route.continue();
    const info = await (await route.fetch()).json();
    return route.fulfill({ json: { ...info, caller: { name: 'root', namespace: name ?? 'default', role: 'admin' } } });
  });
  const chooser = page.getByRole('button', { name: 'Namespace' });
  await page.goto(`${world.url}/?status=succeeded`);
  await chooser.filter({ hasText: 'default' }).click();
  await page.getByLabel('Name', { exact: true }).fill('team-b');
  asked.length = 0;
  await page.getByRole('button', { name: 'Show its tasks' }).click();
  await chooser.filter({ hasText: 'team-b' }).waitFor();
  await page.locator(`tr[data-task="${taskID}"] a`).click();
  await page.waitForURL(`**/tasks/${taskID}?ns=team-b`);
  await page.locator('.timeline-row').first().waitFor();
  await until(() => asked.some(([path]) => path === '/api/task/watch'), 'the task is watched');
  same([...new Set(asked.map(([, name]) => name))], ['team-b'], 'the namespaces of the requests');
  await page.getByRole('link', { name: 'Run', exact: true }).click();
  await page.waitForURL('**/run?ns=team-b');
  await chooser.click();
  await page.getByLabel('Name', { exact: true }).fill('');
  await page.getByRole('button', { name: 'Show its tasks' }).click();
  await page.waitForURL(`${world.url}/`);
  await chooser.filter({ hasText: 'default' }).waitFor();
}
