// The pictures of docs/console.md.
import { example, script, silentModel } from './workflows.mjs';

const SIZE = { viewport: { width: 1280, height: 800 } };

/** Each page with something to see on it. */
export async function takes_pictures({ world, open, run, ended, until }) {
  const loop = example('question_loop', world.model);
  const triage = example('order_triage', world.model);
  const order = (id, total, quantity) => ({ order: { id, total, items: [{ sku: 'x', quantity }] } });
  const page = await open(SIZE);
  const take = async (name, of = page) => {
    await of.evaluate(() => document.fonts.ready);
    await of.screenshot({ path: `${world.pictures}/${name}.png` });
  };

  const one = await run(triage.schema, triage.inputs, { displayName: 'Order A-17', labels: { team: 'orders' } });
  const other = await run(triage.schema, order('B-2', 12.5, 3), { displayName: 'Order B-2', labels: { team: 'orders' } });
  const failed = await run(script('function main() { throw new Error("the printer is out of paper") }'), {}, { displayName: 'Print labels', labels: { team: 'shipping' } });
  for (const id of [one, other, failed]) await ended(id);
  await run(silentModel(world.model), {}, { displayName: 'Summary of the week', labels: { team: 'office' } });

  await page.goto(`${world.url}/run`);
  await page.getByRole('button', { name: 'order_triage' }).click();
  await page.getByText('Ready to run.').waitFor();
  await until(async () => (await page.locator('.flow-node').count()) === 6, 'the graph is drawn');
  await page.waitForTimeout(1500);
  await take('run');

  const asked = await run(loop.schema, loop.inputs, { displayName: 'Questions', labels: { team: 'support' } });
  await page.goto(`${world.url}/tasks/${asked}?node=llm_0`);
  await page.getByTestId('growing-text').filter({ hasText: 'Question' }).waitFor();
  await page.locator('.flow-node[data-node="llm_0"][data-status="processing"]').waitFor();
  await take('task');
  await ended(asked);
  await page.goto(`${world.url}/`);
  await page.locator('tr[data-status="processing"]').waitFor();
  await take('tasks');
  await page.goto(`${world.url}/tasks/${asked}?node=llm_0&at=25`);
  await page.locator('.details-pane').getByRole('heading', { name: 'Inputs' }).waitFor();
  await until(async () => (await page.locator('[data-state="taken"]').count()) > 0, 'the graph is drawn');
  await page.waitForTimeout(1500);
  await take('scrubber');
  await page.goto(`${world.url}/compare?a=${one}&b=${other}`);
  await until(async () => (await page.locator('.flow-node.mark-different').count()) > 2, 'differences are marked');
  await page.waitForTimeout(1500);
  await take('compare');

  const dark = await open({ ...SIZE, colorScheme: 'dark' });
  await dark.goto(`${world.url}/tasks/${failed}?node=code_0`);
  await dark.locator('.panel-error').waitFor();
  await dark.locator('.flow-node[data-status="failed"]').waitFor();
  await dark.waitForTimeout(1500);
  await take('failed', dark);

  const phone = await open({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 });
  await phone.goto(`${world.url}/tasks/${asked}?view=timeline`);
  await phone.locator('.timeline-row').first().waitFor();
  await take('phone', phone);
}
