import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startRunner } from '#runner';
import { contentOf, eventually, place, preparing, releaseOf, running, served, shop, spawnRunner, switching, wayTo } from './fixture.ts';

/** How many of so many newcomers come to the release. */
async function newcomers(url: string, version: string, count = 200): Promise<number> {
  const answers = await Promise.all(Array.from({ length: count }, async () => {
    const response = await fetch(url);
    await response.arrayBuffer();
    return response.headers.get('cairn-release') === releaseOf(version);
  }));
  return answers.filter(Boolean).length;
}

function rolling(operation: string, more: object = {}) {
  return { operation, ...shop, by: 'ada', reason: 'checkout answers 500', restores: null, ...more };
}

test('traffic is shared by weight, raised, and given back; the weights are there again after the runner was killed', async (t) => {
  const at = await place(t);
  const { client, folder } = at;
  let runner = await spawnRunner(at, 0);
  for (const version of ['one', 'two']) await client.prepare(preparing(folder, version));
  await client.switch(switching('one', null, 'first', { share: 10 }));
  assert.equal(await newcomers(runner.url, 'one', 20), 20, 'the first has nothing to share with');
  await client.switch(switching('two', 'one', 'second', { share: 20 }));
  const few = await newcomers(runner.url, 'two');
  assert.ok(few > 10 && few < 80, `${few} of 200 with 20 %`);
  const { timelines } = await client.state();
  assert.deepEqual([timelines[0]?.live?.share, timelines[0]?.former], [20, { content: contentOf('one'), release: releaseOf('one') }]);
  await assert.rejects(client.retire({ ...shop, content: contentOf('one') }), { code: 'conflict', message: /serves/ });
  await client.prepare(preparing(folder, 'three'));
  await assert.rejects(client.switch(switching('three', 'two', 'third', { share: 50 })), { code: 'conflict', message: /share the traffic/ });

  const raised = await client.traffic({ operation: 'raise', ...shop, content: contentOf('two'), share: 70 });
  assert.deepEqual(await client.traffic({ operation: 'raise', ...shop, content: contentOf('two'), share: 70 }), raised, 'asked again, it is the same');
  await assert.rejects(client.traffic({ operation: 'raise', ...shop, content: contentOf('two'), share: 71 }), { code: 'conflict' });
  await assert.rejects(client.traffic({ operation: 'wrong', ...shop, content: contentOf('one'), share: 50 }), { code: 'conflict', message: /not live/ });
  runner.process.kill('SIGKILL');
  runner = await spawnRunner(at, runner.port);
  assert.equal((await client.state()).timelines[0]?.live?.share, 70);
  const many = await newcomers(runner.url, 'two');
  assert.ok(many > 110 && many < 170, `${many} of 200 with 70 %`);

  await client.traffic({ operation: 'all', ...shop, content: contentOf('two'), share: 100 });
  assert.equal(await newcomers(runner.url, 'two', 40), 40);
  assert.equal((await client.state()).timelines[0]?.former, null);
  await client.traffic({ operation: 'back', ...shop, content: contentOf('two'), share: 1 });
  assert.ok((await newcomers(runner.url, 'two', 40)) < 10);
});

test('what shares the traffic fails its watch: the former has all of it again', async (t) => {
  const { client, folder, url } = await running(t);
  for (const version of ['one', 'two']) await client.prepare(preparing(folder, version));
  await client.switch(switching('one', null, 'first'));
  await client.plan({ ...shop, mayRollBack: [], ways: [wayTo('one', 1)] });
  await client.switch(switching('two', 'one', 'second', { share: 10, watchMs: 20_000, revision: 2 }));
  const { pid } = (await client.state()).timelines[0]?.instances.find(({ content }) => content === contentOf('two')) ?? {};
  const { port } = (await client.state()).timelines[0]?.instances.find(({ content }) => content === contentOf('two')) ?? {};
  assert.ok(pid !== undefined);
  await fetch(`http://127.0.0.1:${port}/bad`);
  assert.equal((await client.watch({ operation: 'second', ...shop })).state, 'reverted');
  assert.equal(await newcomers(url, 'one', 40), 40);
  assert.equal((await client.state()).timelines[0]?.live?.share, 100);
});

test('the runner rolls back by its plan while nobody else can be asked, once an operation, and never there and back', async (t) => {
  const at = await running(t);
  const { client, folder, url } = at;
  for (const [i, version] of ['one', 'two', 'three'].entries()) {
    await client.prepare(preparing(folder, version));
    await client.switch(switching(version, ['one', 'two'][i - 1] ?? null, `to ${version}`, { revision: i + 1 }));
  }
  await assert.rejects(client.rollback(rolling('too early')), { code: 'nothing-to-return-to', message: /never told/ });
  await client.plan({ ...shop, mayRollBack: ['ada', 'bob'], ways: [wayTo('two', 2), wayTo('one', 1)] });
  await assert.rejects(client.rollback(rolling('mallory', { by: 'mallory' })), { code: 'unauthorized', fix: 'Ask one of: ada, bob' });
  const back = await client.rollback(rolling('back'));
  assert.deepEqual([back.from, back.to, back.release, back.restores], [contentOf('three'), contentOf('two'), releaseOf('two'), 2]);
  assert.equal((await served(url)).version, 'two');
  t.diagnostic(`rolled back in ${back.milliseconds.toFixed(1)} ms`);
  const again = await client.rollback(rolling('back'));
  assert.deepEqual([again.sequence, again.to, again.restores], [back.sequence, back.to, back.restores]);
  const further = await client.rollback(rolling('further'));
  assert.equal(further.restores, 1);
  assert.equal((await served(url)).version, 'one');
  const { entries } = await client.journal(0);
  const last = entries.at(-1);
  assert.ok(last?.kind === 'switched');
  assert.deepEqual([last.revision, last.restores, last.by, last.reason, last.automatic], [5, 1, 'ada', 'checkout answers 500', undefined]);
});

test('the runner goes to the revision that is asked for, if it stands, and has its plan after a restart', async (t) => {
  const at = await place(t);
  const { client, folder } = at;
  let runner = await startRunner(at.options);
  at.ends.push(() => runner.close());
  for (const version of ['one', 'two', 'three']) await client.prepare(preparing(folder, version));
  await client.switch(switching('three', null, 'first', { revision: 3 }));
  await client.plan({ ...shop, mayRollBack: ['ada'], ways: [wayTo('two', 2), wayTo('one', 1), wayTo('zero', 0)] });
  await assert.rejects(client.rollback(rolling('zero', { restores: 0 })), { code: 'nothing-to-return-to', message: /revision 0 .*nothing was switched/ });
  await runner.close();
  // One that is damaged is no plan, and keeps nothing from starting.
  await writeFile(join(at.options.directory, 'plans', 'blog@production.json'), '{');
  runner = await startRunner(at.options);
  assert.match(at.reported.at(-1)?.message ?? '', /plan of ways back .* can't be read/);
  await eventually('all are up', async () => (await client.state()).timelines[0]?.ready.length === 3);
  assert.equal((await client.rollback(rolling('one', { restores: 1 }))).restores, 1);
});

test('switches, shares, instances and exits are counted beside the requests', async (t) => {
  const { client, folder, url } = await running(t);
  await client.prepare(preparing(folder, 'one', [{ instances: 2 }, { name: 'mail', kind: 'worker' }]));
  await client.switch(switching('one', null, 'first'));
  await served(url);
  // Not a get, which the gateway would ask of the other instance too.
  await fetch(`${url}/die`, { method: 'POST' });
  const shows = async (sample: RegExp) => sample.test(await client.metrics());
  await eventually('it ended', () => shows(/cairn_instance_exits_total\{[^}]*component="web"[^}]*\} 1/));
  await eventually('it is up again', () => shows(/cairn_instances\{[^}]*component="web"[^}]*\} 2/));
  const text = await client.metrics();
  assert.match(text, /cairn_switch_milliseconds_bucket\{environment="production",le="\+Inf"\} 1\n/);
  assert.match(text, /cairn_switch_milliseconds_count\{environment="production"\} 1\n/);
  assert.match(text, new RegExp(`cairn_instance_exits_total\\{environment="production",application="shop",component="web",release="${releaseOf('one')}",content="[^"]+"\\} 1\n`));
  assert.match(text, /component="mail"/);
  for (const line of text.trimEnd().split('\n')) assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[^}]*\})? [0-9.e+-]+)$/);
});
