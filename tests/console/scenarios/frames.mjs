// How much the page does per change. A machine under load draws fewer frames, so what is asserted is counted work; how long the frames
// took is printed with MEASURE=true (and pytest -s).
import { createServer } from 'node:http';
import { many } from './workflows.mjs';

const PER_SECOND = 60;
const NODES = 300;

/** The events of a body in the contract's encoding, each with what stands before it: field 1 and its length. */
function split(body) {
  const events = [];
  for (let at = 0; at < body.length; ) {
    let end = at + 1;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = body[end++];
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    events.push(body.subarray(at, end + length));
    at = end + length;
  }
  return events;
}

/** The server behind another address, from which the events of a task come at a pace, once `begin` was called. */
async function paced(url) {
  let begin;
  const begun = new Promise((resolve) => {
    begin = resolve;
  });
  const server = createServer(async (request, response) => {
    const answer = await fetch(url + request.url, { headers: { accept: request.headers.accept ?? '*/*' } });
    response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') ?? '', 'Content-Security-Policy': answer.headers.get('content-security-policy') ?? '' });
    if (!request.url.startsWith('/api/task/watch')) {
      response.end(Buffer.from(await answer.arrayBuffer()));
      return;
    }
    response.flushHeaders();
    const events = split(new Uint8Array(await answer.arrayBuffer()));
    await begun;
    const began = performance.now();
    for (let sent = 0; sent < events.length; ) {
      const due = Math.min(Math.floor(((performance.now() - began) / 1000) * PER_SECOND) + 1, events.length);
      for (; sent < due; sent += 1) response.write(events[sent]);
      await new Promise((resolve) => setTimeout(resolve, 1000 / PER_SECOND));
    }
    response.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, begin, close: () => server.close() };
}

/** Runs in the page before anything else: counts what React commits, and what changes on the cards, by frame. */
function count() {
  const seen = { frames: 0, commits: 0, most: 0, inFrame: 0, cards: 0, idle: 0, longest: 0, long: 0 };
  globalThis.seen = seen;
  globalThis.__REACT_DEVTOOLS_GLOBAL_HOOK__ = {
    supportsFiber: true,
    inject: () => 1,
    onCommitFiberRoot: () => {
      seen.commits += 1;
      seen.inFrame += 1;
    },
    onCommitFiberUnmount: () => undefined,
    onPostCommitFiberRoot: () => undefined,
  };
  let before = performance.now();
  const frame = (now) => {
    seen.frames += 1;
    seen.most = Math.max(seen.most, seen.inFrame);
    seen.inFrame = 0;
    seen.longest = Math.max(seen.longest, now - before);
    if (now - before > 100) seen.long += 1;
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

/** Runs in the page once the graph is drawn: from then on, cards that change are counted, and those that did so for nothing. */
function watchCards() {
  Object.assign(globalThis.seen, { frames: 0, commits: 0, most: 0, cards: 0, idle: 0, longest: 0, long: 0 });
  const statuses = new Map([...document.querySelectorAll('.flow-node')].map((card) => [card, card.dataset.status]));
  new MutationObserver((records) => {
    const touched = new Set(records.map((record) => (record.target.closest ? record.target : record.target.parentElement)?.closest('.flow-node')).filter(Boolean));
    for (const card of touched) {
      globalThis.seen.cards += 1;
      if (statuses.get(card) === card.dataset.status) globalThis.seen.idle += 1;
      statuses.set(card, card.dataset.status);
    }
  }).observe(document.querySelector('.flow-canvas'), { subtree: true, childList: true, attributes: true, characterData: true });
}

function received(what, seen) {
  if (process.env.MEASURE === 'true') process.stderr.write(`${what}: ${JSON.stringify(seen)}\n`);
}

/** A live task of 300 nodes with 60 changes per second: few commits per frame, and only cards that changed are touched. */
export async function follows_sixty_changes_per_second({ world, open, run, ended, same, until }) {
  const taskID = await run(many(NODES));
  await ended(taskID);
  const proxy = await paced(world.url);
  world.url = proxy.url;
  const page = await open();
  await page.addInitScript(count);
  await page.goto(`${world.url}/tasks/${taskID}`);
  await page.locator('.flow-node').nth(NODES - 1).waitFor({ state: 'attached' });
  await page.waitForTimeout(3000); // the canvas settles
  await page.evaluate(watchCards);
  proxy.begin();
  await until(() => page.evaluate(() => document.querySelectorAll('.flow-node[data-status="succeeded"]').length === 300), 'all nodes have succeeded');
  const seen = await page.evaluate(() => globalThis.seen);
  received('live', seen);
  same([seen.cards, seen.idle], [NODES, 0], 'the cards that were touched, and those that were for nothing');
  // Beside the events' own commit there are clocks that tick, and the address that follows.
  if (seen.most > 4 || seen.commits > 2 * NODES) throw new Error(`too many commits: ${JSON.stringify(seen)}`);
  proxy.close();
}

/** The same log by the scrubber, one event per frame; and the canvas is few layers, or each change would cost what all nodes do. */
export async function plays_sixty_changes_per_second({ world, open, run, ended, same, until }) {
  const taskID = await run(many(NODES));
  await ended(taskID);
  const page = await open();
  await page.addInitScript(count);
  await page.goto(`${world.url}/tasks/${taskID}`);
  await until(() => page.evaluate(() => document.querySelectorAll('.flow-node[data-status="succeeded"]').length === 300), 'all nodes are drawn');
  await page.keyboard.press('Home');
  await until(() => page.evaluate(() => document.querySelectorAll('.flow-node[data-status="idle"]').length >= 299), 'the first moment');
  await page.evaluate(watchCards);
  await page.evaluate(async () => {
    const slider = document.querySelector('.scrubber input[type=range]');
    const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
    for (let at = 2; at <= Number(slider.max); at += 1) {
      set.call(slider, String(at));
      slider.dispatchEvent(new Event('input', { bubbles: true }));
      await new Promise(requestAnimationFrame);
    }
  });
  const seen = await page.evaluate(() => globalThis.seen);
  received('played', seen);
  same([seen.cards, seen.idle], [NODES, 0], 'the cards that were touched, and those that were for nothing');
  if (seen.most > 4 || seen.commits > 2 * NODES) throw new Error(`too many commits: ${JSON.stringify(seen)}`);
  const inspector = await page.context().newCDPSession(page);
  let layers = 0;
  inspector.on('LayerTree.layerTreeDidChange', (event) => {
    layers = event.layers?.length ?? layers;
  });
  await inspector.send('LayerTree.enable');
  await page.keyboard.press('Home');
  await until(() => layers > 0, 'the layers are reported');
  if (layers > 100) throw new Error(`${layers} layers: each node has one of its own`);
}
