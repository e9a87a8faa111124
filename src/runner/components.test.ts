import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { processStart } from './process-start.ts';
import { contentOf, eventually, preparing, releaseOf, running, saidBy, served, shop, spawnRunner, place, switching } from './fixture.ts';

const worker = { name: 'mail', kind: 'worker' } as const;
const api = { name: 'api', routes: [{ host: null, path: '/api' }] };

test('web, worker and files of one release are switched together', async (t) => {
  const { folder, client, url } = await running(t);
  const files = { name: 'assets', kind: 'files' as const, command: [], data: [], routes: [{ host: null, path: '/static' }] };
  for (const version of ['one', 'two']) {
    const directory = join(folder, `files ${version}`);
    await mkdir(join(directory, 'app', 'static'), { recursive: true });
    await writeFile(join(directory, 'app', 'static', 'version.txt'), version);
    await client.prepare(preparing(folder, version, [{}, api, worker, { ...files, directory }]));
  }
  for (const [version, before] of [['one', null], ['two', 'one'], ['one', 'two']] as const) {
    await client.switch(switching(version, before, `to ${version} from ${before}`));
    assert.equal((await served(url)).version, version);
    const { component, path } = await served(url, '/api/cart');
    assert.deepEqual([component, path], ['api', '/api/cart']);
    const asset = await fetch(`${url}/static/version.txt`);
    assert.equal(await asset.text(), version);
    assert.equal(asset.headers.get('cairn-release'), releaseOf(version));
  }
});

test('workers of the old side end before those of the new side start, and they start again when it comes back', async (t) => {
  const { folder, client } = await running(t);
  for (const version of ['one', 'two']) {
    await client.prepare(preparing(folder, version, [{}, { ...worker, environment: { VERSION: version, LINGER: '300' } }]));
  }
  assert.deepEqual(await saidBy(folder), [], 'what is only prepared does not work');
  await client.switch(switching('one', null, 'first'));
  await eventually('the worker works', async () => (await saidBy(folder)).length === 1);
  const { milliseconds } = await client.switch(switching('two', 'one', 'second'));
  assert.ok(milliseconds < 250, `the switch waits for no worker: ${milliseconds} ms`);
  // While the first still ends: the second must not be started over it, nor the first twice.
  await client.switch(switching('one', 'two', 'third'));
  await client.switch(switching('two', 'one', 'fourth'));
  await eventually('the other works', async () => (await saidBy(folder)).length === 3);
  await sleep(400);
  const said = await saidBy(folder);
  assert.deepEqual(said.map(([what, version]) => `${what} ${version}`), ['begin one', 'end one', 'begin two']);
  const instances = (await client.state()).timelines[0]?.instances.map(({ component, content }) => `${component} ${content}`);
  assert.deepEqual(instances?.toSorted(), [`mail ${contentOf('two')}`, `web ${contentOf('one')}`, `web ${contentOf('two')}`].toSorted());
});

test('a worker that may overlap runs beside the other revision, from its preparation to its end', async (t) => {
  const { folder, client } = await running(t);
  const overlapping = { ...worker, overlap: true };
  await client.prepare(preparing(folder, 'one', [{}, overlapping]));
  await client.switch(switching('one', null, 'first'));
  await client.prepare(preparing(folder, 'two', [{}, overlapping]));
  await eventually('both work', async () => (await saidBy(folder)).filter(([what]) => what === 'begin').length === 2);
  await client.switch(switching('two', 'one', 'second'));
  await client.retire({ ...shop, content: contentOf('one') });
  assert.deepEqual((await saidBy(folder)).at(-1)?.slice(0, 2), ['end', 'one']);
});

test('a content without any web component is ready when its first start is over', async (t) => {
  const { folder, client } = await running(t);
  assert.equal((await client.prepare(preparing(folder, 'one', [worker]))).healthy, 0);
  await client.switch(switching('one', null, 'first'));
  await eventually('the worker works', async () => (await saidBy(folder)).length === 1);
});

test('workers are never two at once, also where the runner is killed with -9 in the middle of a handover', async (t) => {
  const at = await place(t);
  const { client, folder } = at;
  let runner = await spawnRunner(at, 0);
  for (const version of ['one', 'two']) await client.prepare(preparing(folder, version, [{}, worker]));
  await client.switch(switching('one', null, 'first'));
  await eventually('the worker works', async () => (await saidBy(folder)).length === 1);
  let live = 'one';
  for (let round = 0; round < 3; round++) {
    const next = live === 'one' ? 'two' : 'one';
    await eventually('both are ready', async () => (await client.state()).timelines[0]?.ready.length === 2);
    await client.switch(switching(next, live, `round ${round}`));
    live = next;
    await sleep(20 * round);
    runner.process.kill('SIGKILL');
    const before = (await saidBy(folder)).length;
    runner = await spawnRunner(at, runner.port);
    await eventually('the live one works', async () => (await client.state()).timelines[0]?.instances.some(({ component, content }) => component === 'mail' && content === contentOf(live)) === true);
    const alive = (await client.state()).timelines[0]?.instances.filter(({ component }) => component === 'mail') ?? [];
    assert.equal(alive.length, 1);
    const begun = async () => (await saidBy(folder)).filter(([what]) => what === 'begin').map(([, version, pid]) => [version, Number(pid)]);
    const own = [live, alive[0]?.pid];
    // Known to the runner before it has got so far as to say so; or it had begun when the runner was killed, and was taken on.
    await eventually('the live one has said that it began', async () => (await begun()).some((one) => isDeepStrictEqual(one, own)));
    const since = (await saidBy(folder)).slice(before).filter(([what]) => what === 'begin').map(([, version, pid]) => [version, Number(pid)]);
    assert.ok(since.every((one) => isDeepStrictEqual(one, own)) && (await begun()).filter((one) => isDeepStrictEqual(one, own)).length === 1, 'only the live one was started, once');
    // The kill left the lock of the one that was killed.
    for (const [, , pid] of await saidBy(folder)) if (Number(pid) !== alive[0]?.pid) assert.equal(await processStart(Number(pid)), undefined);
  }
});

test('one environment serves several applications; a route that another has is refused before anything starts', async (t) => {
  const { folder, client, url } = await running(t);
  const blog = (version: string, more = {}) => preparing(folder, version, [{ routes: [{ host: null, path: '/blog/' }], ...more }], 'blog');
  await client.prepare(preparing(folder, 'one'));
  await client.switch(switching('one', null, 'first'));
  await client.prepare(blog('blog 1'));
  await client.switch({ ...switching('blog 1', null, 'blog first'), application: 'blog' });
  assert.equal((await served(url)).version, 'one');
  assert.equal((await served(url, '/blog')).version, 'blog 1');
  await client.prepare(preparing(folder, 'two'));
  await client.switch(switching('two', 'one', 'second'));
  assert.equal((await served(url, '/blog/x')).version, 'blog 1', 'the others stay where they are');

  await assert.rejects(client.prepare(blog('blog 2', { routes: [{ host: null, path: '/' }] })), { code: 'conflict', message: /the route \*\/ of production is shop's/ });
  await assert.rejects(client.prepare(preparing(folder, 'three', [{}, { name: 'again' }])), { code: 'invalid-configuration', message: /both want/ });
  // A host makes it another address.
  await client.prepare(blog('blog 3', { routes: [{ host: 'blog.example', path: '/' }] }));
  await client.switch({ ...switching('blog 3', 'blog 1', 'blog second'), application: 'blog' });
  assert.equal((await served(url)).version, 'two');
});

test('what was in flight ends, streams are cut at the drain deadline, and the content stays warm', async (t) => {
  const { folder, client, url } = await running(t, { drainMs: 600 });
  for (const version of ['one', 'two']) await client.prepare(preparing(folder, version));
  await client.switch(switching('one', null, 'first'));
  const slow = fetch(`${url}/slow`);
  const stream = await fetch(`${url}/stream`);
  const began = performance.now();
  await client.switch(switching('two', 'one', 'second'));
  assert.equal(await (await slow).text(), 'slow');
  let text = '';
  await assert.rejects(async () => {
    for await (const chunk of stream.body as unknown as AsyncIterable<Uint8Array>) text += Buffer.from(chunk).toString();
  });
  const cutAfter = performance.now() - began;
  assert.ok(cutAfter > 400 && cutAfter < 3_000, `cut after ${cutAfter} ms`);
  assert.match(text, /more/);
  await client.switch(switching('one', 'two', 'third'));
  assert.equal((await served(url)).version, 'one');
});

test('hashed assets of the revision before are reachable while it stands', async (t) => {
  const { folder, client, url } = await running(t);
  const files = (version: string) => ({ name: 'assets', kind: 'files' as const, command: [], data: [], directory: join(folder, `files ${version}`), routes: [{ host: null, path: '/static' }] });
  for (const version of ['one', 'two', 'three']) {
    await mkdir(join(folder, `files ${version}`, 'app', 'static'), { recursive: true });
    await writeFile(join(folder, `files ${version}`, 'app', 'static', `app-${'0123456789'.repeat(2)}${version}.js`), version);
    await client.prepare(preparing(folder, version, [{}, files(version)]));
  }
  const asset = async (version: string) => (await fetch(`${url}/static/app-${'0123456789'.repeat(2)}${version}.js`)).status;
  await client.switch(switching('one', null, 'first'));
  await client.switch(switching('two', 'one', 'second'));
  assert.deepEqual([await asset('one'), await asset('two')], [200, 200]);
  await client.switch(switching('three', 'two', 'third'));
  assert.deepEqual([await asset('one'), await asset('two'), await asset('three')], [404, 200, 200]);
  await client.retire({ ...shop, content: contentOf('two') });
  assert.deepEqual([await asset('two'), await asset('three')], [404, 200]);
});
