// Times pages of the console in a browser, each from the request of the page to when it shows all of its task.
//
//   stdin:  {chromium, url, repeat, pages: [{task, nodes: how many must be shown as succeeded} or {task, runs: how many of them}, …]}
//   stdout: [[milliseconds, …], …]
//
// Each page is opened in a context of its own, which has nothing in its cache, and all by turns. The packages are those of the console.
import { text } from 'node:stream/consumers';
import { chromium } from '../console/node_modules/playwright-core/index.mjs';

const LONGEST_MS = 60_000;

const order = JSON.parse(await text(process.stdin));

/** Whether the page shows all nodes, or all runs of nodes; in the page. */
function isShown({ nodes, runs }) {
  if (nodes !== undefined) return document.querySelectorAll('.flow-node[data-status="succeeded"]').length === nodes;
  const counts = [...document.querySelectorAll('.timeline-tools .hint')].map((hint) => hint.textContent.replace(/\D/g, ''));
  return counts.includes(String(runs));
}

async function once(browser, wanted) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(LONGEST_MS);
    const began = performance.now();
    await page.goto(`${order.url}/tasks/${wanted.task}`);
    await page.waitForFunction(isShown, wanted, { polling: 50 });
    return performance.now() - began;
  } finally {
    await context.close();
  }
}

const browser = await chromium.launch({ executablePath: order.chromium, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const times = order.pages.map(() => []);
try {
  for (let round = 0; round < order.repeat; round++) {
    for (const [index, wanted] of order.pages.entries()) times[index].push(await once(browser, wanted));
  }
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(times));
