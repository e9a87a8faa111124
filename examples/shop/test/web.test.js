import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const top = join(import.meta.dirname, '..');

/** The real process, as Cairn would start it. */
async function start(t, script, environment) {
  const child = spawn(process.execPath, [join(top, script)], { env: { PATH: process.env.PATH, ...environment }, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await once(child.stdout.setEncoding('utf8'), 'data');
  return { child, line };
}

test('from the basket to a receipt, and SIGTERM ends both with nothing cut off', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'shop-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const environment = { CAIRN_DATA_ORDERS: folder, PORT: '0', CURRENCY: 'EUR' };
  const web = await start(t, 'web/server.js', environment);
  const worker = await start(t, 'worker/worker.js', environment);
  const url = /http:\S+/.exec(web.line)[0];

  const home = await (await fetch(url)).text();
  const style = /href="(\/assets\/style-[0-9a-f]{12}\.css)"/.exec(home)[1];
  assert.equal(await (await fetch(url + style)).text(), await readFile(join(top, 'public/style.css'), 'utf8'));

  const added = await fetch(`${url}/basket`, { method: 'POST', body: new URLSearchParams({ id: 'pair' }), redirect: 'manual' });
  const cookie = added.headers.get('set-cookie').split(';')[0];
  assert.match(await (await fetch(`${url}/basket`, { headers: { cookie } })).text(), /€9\.00/);

  const ordered = await fetch(`${url}/checkout`, { method: 'POST', headers: { cookie }, body: new URLSearchParams({ name: '<Ada>' }), redirect: 'manual' });
  const place = ordered.headers.get('location');
  const events = await fetch(`${url}/events?order=${place.split('/').at(-1)}`);
  for await (const chunk of events.body.pipeThrough(new TextDecoderStream())) if (chunk.includes('data: done')) break;
  assert.match(await (await fetch(`${url}${place}/receipt`)).text(), /for <Ada>\n\n +1 x Pair +€9\.00/);
  assert.match(await (await fetch(url + place)).text(), /&#60;Ada&#62;/);

  const moon = JSON.stringify({ name: 'Ada', items: [{ id: 'moon', quantity: 1 }] });
  const refused = await fetch(`${url}/api/orders`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: moon });
  assert.equal(refused.status, 400);
  assert.equal((await fetch(`${url}/healthz`)).status, 200);

  const listening = await fetch(`${url}/events`);
  for (const { child } of [web, worker]) {
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
  }
  await listening.body.cancel();
});
