import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { digestOf } from '#core';
import { application, backend, call, opened, whole } from './fixture.ts';

test('after a switch no request reaches the old side, and those in flight finish there', async (t) => {
  const { gateway, url } = await opened(t);
  let release: () => void = () => {};
  const old = await application(t, (_, response) => (release = () => response.end('old')));
  const fresh = await application(t, (_, response) => response.end('new'));
  const former = backend('old', old);
  gateway.route('production', whole(former));
  const pending = call(url);
  while (gateway.counts(former.content).inFlight === 0) await sleep(5);
  gateway.route('production', whole(backend('new', fresh)));
  assert.equal((await call(url)).body, 'new');
  const drained = gateway.drain(former.content, 5_000);
  release();
  assert.equal((await pending).body, 'old');
  assert.equal((await drained).inFlight, 0);
});

test('a content that is routed to again while it drains is not touched', async (t) => {
  const { gateway, url } = await opened(t);
  const answers: (() => void)[] = [];
  const old = backend('old', await application(t, (_, response) => answers.push(() => response.end('old'))));
  gateway.route('production', whole(old));
  const pending = call(url);
  while (answers.length === 0) await sleep(5);
  gateway.route('production', []);
  const drained = gateway.drain(old.content, 50);
  gateway.route('production', whole(old));
  assert.equal((await drained).inFlight, 0);
  answers[0]?.();
  assert.equal((await pending).body, 'old');
});

test('draining what serves waits for nothing', async (t) => {
  const { gateway, url } = await opened(t);
  const stuck = backend('one', await application(t, () => {}));
  gateway.route('production', whole(stuck));
  const pending = call(url);
  while (gateway.counts(stuck.content).inFlight === 0) await sleep(5);
  assert.ok((await gateway.drain(stuck.content, 2_000)).milliseconds < 1_000);
  gateway.route('production', []);
  await gateway.drain(stuck.content, 0);
  assert.equal((await pending).statusCode, 502);
});

test('an asset that is on its way from the revision before is not cut with those that stayed there', async (t) => {
  const { gateway, url } = await opened(t);
  const answers: (() => void)[] = [];
  const before = backend('before', await application(t, (_, response) => answers.push(() => response.end('asset'))));
  const live = backend('live', await application(t, (_, response) => response.writeHead(404).end()));
  gateway.route('production', whole(before));
  const stayed = call(url);
  while (answers.length < 1) await sleep(5);
  gateway.route('production', whole(live, before));
  const asset = call(url, {}, 'GET', '/app.3f2a9c1b.js');
  while (answers.length < 2) await sleep(5);
  assert.equal((await gateway.drain(before.content, 20)).inFlight, 1);
  assert.equal((await stayed).statusCode, 502);
  answers[1]?.();
  assert.equal((await asset).body, 'asset');
});

test('draining ends at its deadline, and never touches the live side', async (t) => {
  const { gateway, url } = await opened(t);
  const stuck = await application(t, () => {});
  const fresh = await application(t, (_, response) => response.end('new'));
  gateway.route('production', whole(backend('old', stuck)));
  const pending = call(url);
  while (gateway.counts(digestOf('old')).inFlight === 0) await sleep(5);
  gateway.route('production', whole(backend('new', fresh)));
  assert.equal((await gateway.drain(digestOf('old'), 50)).inFlight, 1);
  assert.equal((await pending).statusCode, 502);
  assert.equal((await gateway.drain(digestOf('new'), 50)).inFlight, 0);
  assert.equal((await call(url)).body, 'new');
});

test('a hundred switches under 32 connections lose and misdirect no request', async (t) => {
  const { gateway, url } = await opened(t);
  const sides = await Promise.all(
    ['left', 'right'].map(async (name) => backend(name, await application(t, (_, response) => response.end(name)))),
  );
  gateway.route('production', whole(sides[0]));
  const pool = new Pool(url, { connections: 32 });
  t.after(() => pool.destroy());
  let live = 0;
  let swaps = 0;
  let answered = 0;
  let done = false;
  async function client(): Promise<void> {
    while (!done) {
      const before = swaps;
      const { statusCode, headers, body } = await pool.request({ path: '/', method: 'GET' });
      const name = await body.text();
      assert.equal(statusCode, 200);
      assert.equal(headers['cairn-release'], digestOf(`release ${name}`));
      if (swaps === before) assert.equal(name, sides[live] === sides[0] ? 'left' : 'right');
      answered++;
    }
  }
  const clients = Promise.all(Array.from({ length: 32 }, client));
  while (swaps < 100) {
    await sleep(5);
    live = 1 - live;
    gateway.route('production', whole(sides[live]));
    swaps++;
  }
  done = true;
  await clients;
  assert.ok(answered > 1_000, `${answered} requests`);
  const sum = sides.map(({ content }) => gateway.counts(content));
  assert.equal(sum.reduce((total, { errors }) => total + errors, 0), 0);
});
