import assert from 'node:assert/strict';
import { test } from 'node:test';
import { library } from './support/library.ts';

test('what is read back', async (t) => {
  const shop = await library(t);
  await t.test('status before anything runs says so', async () => {
    const { stdout, code } = await shop.cairn('status');
    assert.equal(code, 0);
    console.log(stdout);
  });
  const one = await shop.release({ files: { 'server.js': 'one\ntwo\n' }, packages: { money: '2.1.0' }, message: 'Start' });
  await shop.promote(one.release, 'staging');
  await t.test('status names', async () => {
    const { stdout, code, stderr } = await shop.cairn('status');
    assert.equal(code, 0, stderr);
    console.log(stdout);
    console.log(JSON.stringify(await shop.json('status'), null, 1));
  });
});
