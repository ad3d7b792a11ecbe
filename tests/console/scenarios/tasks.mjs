// Lives of tasks, seen in the browser.
import { example, loop, many, picture, script, silentModel } from './workflows.mjs';

const badge = (page) => page.locator('.task-title .badge');
const card = (page, id) => page.locator(`.flow-node[data-node="${id}"]`);
const slider = (page) => page.getByRole('slider', { name: 'Moment in the log' });

/** From the form of an example to its end: statuses, the iteration that is shown, and text as it comes. */
export async function runs_the_loop_example({ world, open, same, until, call }) {
  const page = await open();
  await page.goto(`${world.url}/run`);
  await page.getByRole('button', { name: 'question_loop' }).click();
  await page.getByLabel('api_host').fill(world.model);
  await page.getByLabel('Name', { exact: false }).first().fill('questions');
  await page.getByText('Ready to run.').waitFor();
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.waitForURL(/\/tasks\//);
  await page.locator('h1', { hasText: 'questions' }).waitFor();
  await card(page, 'llm_0').click();
  await page.waitForURL(/node=llm_0/);
  const text = page.getByTestId('growing-text');
  await text.filter({ hasText: 'You said' }).waitFor();
  await until(async () => (await badge(page).textContent()) === 'Succeeded', 'the task succeeds');
  same(await card(page, 'loop_0').getAttribute('data-status'), 'succeeded', 'the loop');
  // Iteration 7 stops the loop; 3 is one that asked the model.
  const picker = page.locator('.details-pane .picker input');
  same(await picker.inputValue(), '7', 'the newest iteration');
  same(await card(page, 'llm_0').getAttribute('data-status'), 'skipped', 'the model in the last iteration');
  await picker.fill('3');
  await page.locator('.details-pane').getByText('loop_0[3]/llm_0').waitFor();
  same(await card(page, 'llm_0').getAttribute('data-status'), 'succeeded', 'the model in iteration 3');
  await page.locator('.details-pane').getByText('"You said: Question 3: What is a loop?', { exact: false }).first().waitFor();
  await page.waitForURL(/it=loop_0:3/);
  // The secret is masked, and the link shows the same in another window.
  await page.locator('.json-leaf', { hasText: 'apiKey' }).filter({ hasText: '…' }).first().waitFor();
  const other = await open();
  await other.goto(page.url());
  await other.locator('.details-pane').getByText('loop_0[3]/llm_0').waitFor();
  const { tasks } = await call('GET', '/api/tasks');
  same(tasks[0].displayName, 'questions', 'the name in the list');
}

/** The server is killed in the middle of a run that is watched, and the page goes on without a gap when it is back. */
export async function survives_a_crash_of_the_server({ world, open, run, ended, ask, same, until, expected }) {
  expected.push(/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|503/);
  const { schema, inputs } = example('question_loop', world.model);
  const taskID = await run(schema, inputs);
  const page = await open();
  await page.goto(`${world.url}/tasks/${taskID}`);
  await until(async () => Number(await slider(page).inputValue()) > 15, 'events come');
  await ask('kill');
  await page.getByText('The server is away.', { exact: false }).waitFor();
  await ask('start');
  await until(async () => (await badge(page).textContent()) === 'Succeeded', 'the task succeeds');
  await page.getByText('The server is away.', { exact: false }).waitFor({ state: 'hidden' });
  const report = await ended(taskID);
  const count = Object.values(report.reports).reduce((sum, node) => sum + node.snapshots.length, 0);
  same(await page.locator('.timeline-tools .hint').textContent(), `${count} runs`, 'the runs that are shown');
}

/** The graph, the panel and the time line show the moment that is chosen, and the address names it. */
export async function scrubs_back({ world, open, run, ended, same, until }) {
  const { schema, inputs } = example('order_triage', world.model);
  const taskID = await run(schema, inputs, { displayName: 'triage' });
  await ended(taskID);
  const page = await open();
  await page.goto(`${world.url}/tasks/${taskID}`);
  await card(page, 'code_small').filter({ hasText: 'Skipped' }).waitFor();
  const last = Number(await slider(page).getAttribute('max'));
  await page.keyboard.press('Home');
  await until(async () => (await card(page, 'start_0').getAttribute('data-status')) === 'idle', 'the first moment');
  same(await badge(page).textContent(), 'Running', 'the task then');
  for (let at = 1; at < 3; at += 1) await page.keyboard.press('ArrowRight');
  same(Number(await slider(page).inputValue()), 3, 'the moment');
  await page.waitForURL(/at=3/);
  same(await card(page, 'end_0').getAttribute('data-status'), 'idle', 'the end then');
  const lines = () => page.locator('[data-state="taken"], [data-state="flowing"]').count();
  const then = await lines();
  await page.keyboard.press('End');
  await until(async () => (await card(page, 'end_0').getAttribute('data-status')) === 'succeeded', 'the end');
  if ((await lines()) <= then) throw new Error('no more edges were taken at the end than in the middle');
  await page.goto(`${world.url}/tasks/${taskID}?at=2`);
  await until(async () => Number(await slider(page).inputValue()) === 2, 'the moment of the link');
  await page.getByRole('button', { name: 'Play' }).click();
  await until(async () => Number(await slider(page).inputValue()) === last, 'it plays to the end');
}

/** A running task is canceled from its page, after a question. */
export async function cancels({ world, open, run, ended, same, until }) {
  const taskID = await run(silentModel(world.model), {}, { displayName: 'silent' });
  const page = await open();
  await page.goto(`${world.url}/tasks/${taskID}?node=llm_0`);
  await page.getByTestId('growing-text').filter({ hasText: 'You' }).waitFor();
  await page.getByRole('button', { name: 'Cancel', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel', exact: true }).click();
  await until(async () => (await badge(page).textContent()) === 'Canceled', 'the task is canceled');
  same((await ended(taskID)).workflowStatus.status, 'canceled', 'the task');
  same(await card(page, 'llm_0').getAttribute('data-status'), 'canceled', 'its node');
  same(await page.getByRole('button', { name: 'Cancel', exact: true }).count(), 0, 'the buttons to cancel');
}

/** Why a task failed stands where one looks first, and leads to the node. */
export async function shows_why_a_task_failed({ world, open, run, ended, same }) {
  const taskID = await run(script('function main() { throw new Error("out of paper") }'));
  await ended(taskID);
  const page = await open();
  await page.goto(`${world.url}/tasks/${taskID}`);
  const failure = page.getByRole('alert').filter({ hasText: 'code_0 failed' });
  await failure.getByText('out of paper', { exact: false }).first().waitFor();
  await failure.getByRole('button', { name: 'Show the node' }).click();
  await page.waitForURL(/node=code_0/);
  await page.locator('.details-pane .panel-error').getByText('out of paper', { exact: false }).waitFor();
  await page.getByLabel('Failed only').check();
  same(await page.locator('.timeline-row').count(), 1, 'the rows that failed');
}

/** Two runs of one workflow: what differs is marked, on the graph and in the table, and different values differ. */
export async function compares_two_runs({ world, open, run, ended, same, until }) {
  const { schema, inputs } = example('order_triage', world.model);
  const one = await run(schema, inputs);
  const other = await run(schema, { order: { id: 'B-2', total: 3, items: [] } });
  await ended(one);
  await ended(other);
  const page = await open();
  await page.goto(`${world.url}/`);
  for (const id of [one, other]) await page.locator(`tr[data-task="${id}"] input`).check();
  await page.getByRole('link', { name: 'Compare' }).click();
  await page.waitForURL(`**/compare?a=${one}&b=${other}`);
  await page.locator('tr[data-run="code_small"]').getByText('did not run').waitFor();
  same(await page.locator('tr[data-run="condition_size"]').getAttribute('data-different'), 'true', 'the branch');
  await until(async () => (await page.locator('.flow-node.mark-different').count()) > 2, 'marks on the graph');
  await page.getByRole('rowheader', { name: '$.small' }).waitFor();
  await page.locator('tr[data-run="end_0"] button').click();
  await page.locator('tr + tr .differences td', { hasText: '"auto:B-2"' }).first().waitFor();
  const again = await run(schema, inputs);
  await ended(again);
  await page.goto(`${world.url}/compare?a=${one}&b=${again}`);
  await page.getByRole('status').filter({ hasText: 'No differences.' }).waitFor();
}

/** 300 nodes are drawn; of 1,000 there is a list; both can be looked into. */
export async function shows_large_workflows({ world, open, run, ended, same, until }) {
  const large = await run(many(300));
  const larger = await run(many(1000));
  await ended(larger);
  const page = await open();
  await page.goto(`${world.url}/tasks/${large}`);
  await until(async () => (await page.locator('.flow-node[data-status="succeeded"]').count()) === 300, '300 nodes are drawn');
  await until(async () => (await page.locator('[data-state="taken"]').count()) > 290, 'their edges are drawn');
  await page.goto(`${world.url}/tasks/${larger}`);
  await page.getByText('1,000 nodes are too many to draw', { exact: false }).waitFor();
  same(await page.locator('.node-item').count(), 1000, 'the nodes of the list');
  await page.locator('.node-item').nth(500).click();
  await page.locator('.details-pane h2').filter({ hasText: 'step_' }).waitFor();
}

/** A log of 20,000 events opens, and one can go to any moment of it. */
export async function opens_a_long_task({ world, open, run, ended, same, until }) {
  const count = 5000;
  const taskID = await run(loop(), { items: Array.from({ length: count }, (_, index) => index) });
  await ended(taskID);
  const page = await open();
  await page.goto(`${world.url}/tasks/${taskID}`);
  await until(async () => Number(await slider(page).getAttribute('max')) > 3 * count, 'all events come');
  await until(async () => (await badge(page).textContent()) === 'Succeeded', 'the end is seen');
  const last = Number(await slider(page).getAttribute('max'));
  await slider(page).fill(String(Math.floor(last / 2)));
  const shown = page.locator('.flow-loop .picker input');
  await until(async () => Math.abs(Number(await shown.inputValue()) - count / 2) < 5, 'the iteration in the middle');
  if ((await page.locator('.timeline-row').count()) > 100) throw new Error('rows are rendered that nobody sees');
  same(await badge(page).textContent(), 'Running', 'the task then');
}

/** Names and values with markup are text; groups and comments are drawn; deep and large values are shown a part at a time. */
export async function shows_values_as_text({ world, open, run, ended, same }) {
  const taskID = await run(picture(), {}, { displayName: '<h1>name</h1>', labels: { '<b>': '"><script>' } });
  await ended(taskID);
  const page = await open();
  await page.goto(`${world.url}/tasks/${taskID}?node=code_0`);
  await page.locator('h1', { hasText: '<h1>name</h1>' }).waitFor();
  await card(page, 'code_0').getByText('<b>bold</b><script>', { exact: false }).waitFor();
  await page.getByText('"<img src=x onerror=alert(1)>"').first().waitFor();
  await page.getByText('<i>A note</i>').waitFor();
  await page.getByText('The group').waitFor();
  const deep = 'function main() { let x = 1; for (let i = 0; i < 64; i += 1) x = { in: [x] }; return { x, text: "a".repeat(5e6) } }';
  const large = await run(script(deep, { x: { type: 'object' }, text: { type: 'string' } }));
  await ended(large);
  await page.goto(`${world.url}/tasks/${large}?node=code_0`);
  const panel = page.locator('.node-panel');
  await panel.getByRole('button', { name: 'Show more (5.0 MB in all)' }).first().waitFor();
  for (let depth = 0; depth < 20; depth += 1) await panel.locator('.json-toggle[aria-expanded="false"]').first().click();
  same(await page.locator('img[src="x"]').count(), 0, 'images from values');
}

/** Tasks that are not there have a page that says so. */
export async function knows_no_task({ world, open, expected }) {
  expected.push(/404/);
  const page = await open();
  await page.goto(`${world.url}/tasks/nothing`);
  await page.getByText('This task is not there.').waitFor();
  await page.getByRole('link', { name: 'To the tasks' }).click();
  await page.getByRole('heading', { name: 'Tasks' }).waitFor();
  await page.goto(`${world.url}/compare?a=nothing&b=nothing`);
  await page.getByText('This task is not there.').first().waitFor();
}
