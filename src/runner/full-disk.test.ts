import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startRunner } from '#runner';
import { contentOf, eventually, place, preparing, saidBy, served, shop, switching, wayTo } from './fixture.ts';

const run = promisify(execFile);

test('with the disk full: switches, rollbacks, reverts and shares work, new preparations are refused, and a restart finds all of it', async (t) => {
  const at = await place(t);
  const { client, folder, options } = at;
  // The runner's folder is the one that fills up: what applications write to their data is theirs to watch.
  await mkdir(options.directory, { mode: 0o700 });
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=700', 'cairn-full', options.directory]).then(() => true, () => false);
  if (!mounted) return t.skip('a file system of its own can only be mounted as root');
  let runner = await startRunner(options);
  const ballast = await open(join(options.directory, 'ballast'), 'w');
  at.ends.push(async () => {
    await ballast.close();
    await runner.close();
    await run('umount', [options.directory]);
  });
  const worker = { name: 'mail', kind: 'worker' } as const;
  for (const version of ['one', 'two', 'three']) await client.prepare(preparing(folder, version, [{}, worker]));
  await client.plan({ ...shop, mayRollBack: ['ada'], ways: [wayTo('two', 2), wayTo('one', 1)] });
  await client.switch(switching('one', null, 'first'));
  await eventually('the worker works', async () => (await saidBy(folder)).length === 1);

  await assert.rejects(async () => {
    for (;;) await ballast.appendFile(Buffer.alloc(4096));
  }, { code: 'ENOSPC' });
  const { size } = await stat(join(options.directory, 'ballast'));
  t.diagnostic(`${size} bytes of ballast`);

  const url = () => `http://127.0.0.1:${runner.ports.get('production')}`;
  const times: number[] = [];
  let live = 'one';
  for (let i = 0; i < 50; i++) {
    const next = live === 'one' ? 'two' : 'one';
    times.push((await client.switch(switching(next, live, `switch ${i}`))).milliseconds);
    live = next;
  }
  await client.switch(switching('three', live, 'to three', { revision: 3 }));
  const back = await client.rollback({ operation: 'back', ...shop, by: 'ada', reason: null, restores: null });
  assert.equal(back.restores, 2);
  await client.traffic({ operation: 'share', ...shop, content: contentOf('two'), share: 50 });
  await client.traffic({ operation: 'all', ...shop, content: contentOf('two'), share: 100 });
  await client.switch(switching('three', 'two', 'to three again', { revision: 5, watchMs: 20_000 }));
  await fetch(`${url()}/bad`);
  assert.equal((await client.watch({ operation: 'to three again', ...shop })).state, 'reverted');
  assert.equal((await served(url())).version, 'two');
  // Workers follow, instances that die come back: records and logs that can't be written stop nobody.
  await fetch(`${url()}/die`).catch(() => {});
  await eventually('it is up again', async () => (await fetch(url())).status === 200);
  await eventually('the worker of what is live works', async () => (await saidBy(folder)).at(-1)?.slice(0, 2).join() === 'begin,two');

  await assert.rejects(client.prepare(preparing(folder, 'four')), { code: 'storage-full' });
  assert.equal((await served(url())).version, 'two');
  await runner.close();
  runner = await startRunner(options);
  assert.equal((await served(url())).version, 'two');
  t.diagnostic(`switch with the disk full: median ${times.toSorted((a, b) => a - b)[25]?.toFixed(1)} ms`);
});
