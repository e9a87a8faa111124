import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRunner } from '#runner';
import { contentOf, eventually, place, preparing, releaseOf, running, saidBy, served, shop, spawnRunner, switching, wayTo, type Running } from './fixture.ts';

const watched = { watchMs: 20_000 };

/** `one` confirmed and the way back, `two` live and watched. */
async function twoLive(at: Running, components: Parameters<typeof preparing>[2] = [{}]): Promise<void> {
  const { client, folder } = at;
  await client.prepare(preparing(folder, 'one'));
  await client.switch(switching('one', null, 'first'));
  await client.prepare(preparing(folder, 'two', components));
  await client.plan({ ...shop, mayRollBack: ['ada'], ways: [wayTo('one', 1)] });
  await client.switch(switching('two', 'one', 'second', { revision: 2, ...watched }));
}

async function reverts(at: Running, since: number, reason: RegExp): Promise<void> {
  const { client, url } = at;
  const answer = await client.watch({ operation: 'second', ...shop });
  const milliseconds = performance.now() - since;
  assert.equal(answer.state, 'reverted');
  assert.match(answer.reason ?? '', reason);
  assert.ok(milliseconds < 10_000, `it took ${milliseconds} ms`);
  assert.equal((await served(url)).version, 'one');
  const { entries } = await client.journal(0);
  const last = entries.findLast(({ kind }) => kind === 'switched');
  assert.ok(last?.kind === 'switched' && last.sequence === answer.sequence);
  assert.deepEqual([last.automatic, last.to, last.from, last.restores, last.revision, last.by], ['second', contentOf('one'), contentOf('two'), 1, 3, null]);
  assert.deepEqual(await client.watch({ operation: 'second', ...shop }), answer, 'asked again, it says the same');
}

test('a watched content that behaves is held, and only what is watched is known to the watch', async (t) => {
  const { client, folder } = await running(t);
  await client.prepare(preparing(folder, 'one'));
  const start = performance.now();
  await client.switch(switching('one', null, 'first', { watchMs: 700 }));
  assert.deepEqual(await client.watch({ operation: 'first', ...shop }), { state: 'held', sequence: null, reason: null });
  assert.ok(performance.now() - start >= 690);
  assert.equal((await client.watch({ operation: 'first', ...shop })).state, 'held');
  assert.equal((await client.watch({ operation: 'other', ...shop })).state, 'unwatched');
  await client.prepare(preparing(folder, 'two'));
  await client.switch(switching('two', 'one', 'second'));
  assert.equal((await client.watch({ operation: 'second', ...shop })).state, 'unwatched');
});

test('a crash loop after the switch reverts by itself', async (t) => {
  const at = await running(t);
  await twoLive(at);
  const start = performance.now();
  const crashing = (async () => {
    for (let deaths = 0; deaths < 3; ) {
      if ((await fetch(`${at.url}/die`).catch(() => undefined))?.status === 502) deaths++;
      await sleep(150);
    }
  })();
  await reverts(at, start, /web ended 3 times/);
  await crashing.catch(() => {});
  t.diagnostic(`reverted in ${((performance.now() - start) / 1000).toFixed(2)} s`);
});

test('health that is lost after the switch reverts by itself: an answer that says so, and none at all', async (t) => {
  for (const path of ['/bad', '/hang']) {
    const at = await running(t);
    await twoLive(at);
    const start = performance.now();
    void fetch(at.url + path, { signal: AbortSignal.timeout(3_000) }).catch(() => {});
    await reverts(at, start, /web lost its health/);
    t.diagnostic(`${path}: reverted in ${((performance.now() - start) / 1000).toFixed(2)} s`);
  }
});

test('an instance that does not come back reverts by itself, and so does a worker that never lives', async (t) => {
  const at = await running(t);
  await writeFile(join(at.folder, 'content', 'app', 'once.mjs'), `
    import { existsSync, writeFileSync } from 'node:fs';
    const mark = process.env.CAIRN_DATA_FILES + '/was-here';
    if (existsSync(mark)) setInterval(() => {}, 1000);
    else { writeFileSync(mark, ''); await import('./main.mjs'); }`);
  await twoLive(at, [{ command: [process.execPath, 'once.mjs'] }]);
  const start = performance.now();
  await fetch(`${at.url}/die`);
  await reverts(at, start, /web has had no healthy instance for 2 s/);

  const other = await running(t);
  await writeFile(join(other.folder, 'content', 'app', 'broken.mjs'), `console.error('no queue'); process.exit(3);`);
  const began = performance.now();
  await twoLive(other, [{}, { name: 'mail', kind: 'worker', command: [process.execPath, 'broken.mjs'] }]);
  await reverts(other, began, /mail ended 3 times/);
});

test('the first release has nothing to go back to: it is stopped, and nothing is routed', async (t) => {
  const { client, folder, url } = await running(t);
  await client.prepare(preparing(folder, 'one', [{}, { name: 'mail', kind: 'worker' }]));
  // Of another timeline, and itself: neither is a way back.
  await client.plan({ ...shop, mayRollBack: [], ways: [wayTo('one', 1)] });
  await client.switch(switching('one', null, 'first', watched));
  await eventually('the worker works', async () => (await saidBy(folder)).length === 1);
  await fetch(`${url}/bad`);
  const answer = await client.watch({ operation: 'first', ...shop });
  assert.equal(answer.state, 'stopped');
  assert.equal((await fetch(url)).status, 503);
  await eventually('the worker ended', async () => (await saidBy(folder)).at(-1)?.[0] === 'end');
  const [timeline] = (await client.state()).timelines;
  assert.deepEqual([timeline?.live, timeline?.ready, timeline?.instances], [null, [], []]);
  const { entries } = await client.journal(0);
  assert.equal(entries.at(-1)?.kind, 'stopped');
  // The way forward is open.
  await client.prepare(preparing(folder, 'two'));
  await client.switch(switching('two', null, 'second'));
  assert.equal((await served(url)).version, 'two');
});

test('what was stopped stays so over a restart', async (t) => {
  const at = await place(t);
  const { client, folder, options } = at;
  let runner = await startRunner(options);
  at.ends.push(() => runner.close());
  await client.prepare(preparing(folder, 'one'));
  await client.switch(switching('one', null, 'first', watched));
  await fetch(`http://127.0.0.1:${runner.ports.get('production')}/bad`);
  assert.equal((await client.watch({ operation: 'first', ...shop })).state, 'stopped');
  await runner.close();
  assert.deepEqual(await readdir(join(options.directory, 'launch')), []);
  runner = await startRunner(options);
  const [timeline] = (await client.state()).timelines;
  assert.deepEqual([timeline?.live, timeline?.ready, timeline?.instances], [null, [], []]);
  assert.equal((await client.watch({ operation: 'first', ...shop })).state, 'stopped');
  assert.deepEqual(at.reported.map(({ code }) => code).filter((code) => code !== 'unhealthy'), []);
});

test('a way back that stands but is not healthy is passed over', async (t) => {
  const at = await running(t);
  const { client, folder, url } = at;
  for (const version of ['zero', 'one', 'two']) await client.prepare(preparing(folder, version));
  await client.switch(switching('zero', null, 'zeroth'));
  await client.switch(switching('one', 'zero', 'first'));
  await fetch(`${url}/bad`);
  await client.plan({ ...shop, mayRollBack: [], ways: [wayTo('one', 2), wayTo('zero', 1)] });
  await client.switch(switching('two', 'one', 'second', watched));
  await fetch(`${url}/bad`);
  assert.equal((await client.watch({ operation: 'second', ...shop })).state, 'reverted');
  assert.equal((await served(url)).version, 'zero');
});

test('a person who rolls back ends the watch, and it never reverts what they chose', async (t) => {
  const at = await running(t);
  await twoLive(at);
  const waiting = at.client.watch({ operation: 'second', ...shop });
  const { sequence } = await at.client.switch(switching('one', 'two', 'third', { revision: 3, restores: 1, reason: 'slow', by: 'ada' }));
  const { state, sequence: by, reason } = await waiting;
  assert.deepEqual([state, by, reason], ['reverted', sequence, 'slow']);
  await fetch(`${at.url}/bad`);
  await sleep(2_500);
  assert.equal((await at.client.state()).timelines[0]?.live?.content, contentOf('one'));
});

test('a person who is quicker than a revert that waits for its way back is not overruled by it', async (t) => {
  const at = await running(t);
  const { client, folder, url } = at;
  const late = join(folder, 'content', 'app', 'late.mjs');
  await writeFile(late, `await import('./main.mjs');`);
  await client.prepare(preparing(folder, 'one', [{ command: [process.execPath, 'late.mjs'] }]));
  for (const version of ['two', 'three']) await client.prepare(preparing(folder, version));
  await client.switch(switching('one', null, 'first'));
  await client.plan({ ...shop, mayRollBack: [], ways: [wayTo('one', 1)] });
  await client.switch(switching('two', 'one', 'second', { revision: 2, ...watched }));
  // The one way back is started again and again: it is waited for, for a few seconds.
  await writeFile(late, 'process.exit(1);');
  const { pid } = (await client.state()).timelines[0]?.instances.find(({ content }) => content === contentOf('one')) ?? {};
  process.kill(Number(pid), 'SIGKILL');
  await fetch(`${url}/bad`);
  await sleep(3_000);
  await client.switch(switching('three', 'two', 'third', { revision: 3 }));
  assert.equal((await client.watch({ operation: 'second', ...shop })).state, 'unwatched');
  await sleep(3_500);
  assert.equal((await served(url)).version, 'three');
  assert.equal((await client.journal(0)).entries.at(-1)?.kind, 'switched');
});

test('a watch goes on where it was after the runner was killed, and reverts to what came up again', async (t) => {
  const at = await place(t);
  const { client, folder } = at;
  const first = await spawnRunner(at, 0);
  await writeFile(join(folder, 'content', 'app', 'sours.mjs'), `if (process.env.CAIRN_RELEASE !== 'x') await import('./main.mjs');
    import { existsSync } from 'node:fs';
    setInterval(() => { if (existsSync(process.env.CAIRN_DATA_FILES + '/sour')) process.exit(1); }, 50);`);
  await client.prepare(preparing(folder, 'one'));
  await client.switch(switching('one', null, 'first'));
  await client.prepare(preparing(folder, 'two', [{ command: [process.execPath, 'sours.mjs'] }]));
  await client.plan({ ...shop, mayRollBack: [], ways: [wayTo('one', 1)] });
  await client.switch(switching('two', 'one', 'second', watched));
  const cut = assert.rejects(client.watch({ operation: 'second', ...shop }), { code: 'unreachable', retryable: true });
  first.process.kill('SIGKILL');
  await cut;
  const again = await spawnRunner(at, first.port);
  assert.equal((await served(again.url)).version, 'two');
  await writeFile(join(folder, 'data', 'production', 'shop', 'files', 'sour'), '');
  const answer = await client.watch({ operation: 'second', ...shop });
  assert.equal(answer.state, 'reverted');
  assert.equal((await fetch(again.url)).headers.get('cairn-release'), releaseOf('one'));
});
