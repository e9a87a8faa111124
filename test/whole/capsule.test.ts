import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { releaseTwo } from '../support/capsule.ts';
import { library } from '../support/library.ts';
import { node, runCairn } from '../support/machine.ts';

test('a capsule is decided again on a machine without home, server and network', async (t) => {
  const shop = await library(t);
  const { one } = await releaseTwo(shop);
  const elsewhere = join(shop.folder, 'elsewhere');
  await mkdir(elsewhere);
  await cp(join(shop.repository, 'cairn.trust.json'), join(elsewhere, 'kept.json'));
  const path = join(shop.folder, 'shop.capsule.tar');

  await t.test('what runs in the last environment is what it is of, where nothing is named', async () => {
    const made = await shop.json<{ release: string; verdicts: number; statements: number }>('audit', '--capsule', path);
    assert.equal(made.release, one, 'it was rolled back to');
    assert.equal(made.verdicts, 4, 'refused, staging, production, and the rollback');
    await shop.fails(2, 'usage', 'audit', '--capsule', path);
    await shop.fails(2, 'usage', 'audit', one);
    await shop.fails(2, 'usage', 'verify', one, '--trust', 'cairn.trust.json');
    await shop.fails(2, 'usage', 'verify', '--capsule', path, one);
  });

  const offline = (...parameters: string[]) => runCairn(elsewhere, { PATH: process.env['PATH'] ?? '', HOME: elsewhere }, parameters, { wrapper: ['unshare', '-rn'] });

  await t.test('with the network gone each verdict comes out as it was recorded', async () => {
    const ran = await offline('verify', '--capsule', path, '--trust', 'kept.json', '--json');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    const { verdicts, trust } = ran.json as { verdicts: { result: string; decided: boolean; environment: string; direction: string; weighed: number; unproven: string[] }[]; trust: { from: string } };
    assert.deepEqual(verdicts.map(({ environment, direction, result, decided }) => [environment, direction, result, decided]), [
      ['production', 'promote', 'FAILED', true], ['staging', 'promote', 'PASSED', true], ['production', 'promote', 'PASSED', true], ['production', 'rollback', 'PASSED', true],
    ]);
    assert.ok(verdicts.every(({ weighed }) => weighed >= 3));
    assert.ok(verdicts.every(({ unproven }) => unproven.length > 0), "what rests on the record key's word is said");
    assert.equal(trust.from, 'given');
    const text = await offline('verify', '--capsule', path, '--trust', 'kept.json');
    assert.match(text.stdout, /of the record key alone: that it had not been rolled back/);
    const probe = `fetch('http://127.0.0.1:${new URL(shop.url).port}').then(() => process.exit(0), () => process.exit(9))`;
    assert.throws(() => execFileSync('unshare', ['-rn', node, '-e', probe]), { status: 9 }, 'the server cannot be reached from there');
  });

  await t.test('without trust from elsewhere it is refused, unless it is said that its own is enough', async () => {
    const refused = await offline('verify', '--capsule', path, '--json');
    assert.deepEqual([refused.code, (refused.json as { error: { context: { reason: string } } }).error.context.reason], [4, 'trust-missing']);
    const taken = await offline('verify', '--capsule', path, '--trust-capsule', '--json');
    assert.deepEqual([taken.code, (taken.json as { trust: { from: string } }).trust.from], [0, 'capsule']);
    assert.match((await offline('verify', '--capsule', path, '--trust-capsule')).stdout, /the capsule's own: it proves nothing about who made it/);
    assert.equal((await offline('verify', '--capsule', path, '--trust-capsule', '--trust', 'kept.json')).code, 2);
    assert.equal((await offline('verify', '--capsule', path, '--trust', 'missing.json')).code, 2);
  });

  await t.test('under the trust of another log it is refused', async () => {
    const given = JSON.parse(await readFile(join(elsewhere, 'kept.json'), 'utf8')) as { genesis: { since: string } };
    await writeFile(join(elsewhere, 'other.json'), JSON.stringify({ ...given, genesis: { ...given.genesis, since: '2020-01-01T00:00:00Z' } }));
    const ran = await offline('verify', '--capsule', path, '--trust', 'other.json', '--json');
    assert.deepEqual([ran.code, (ran.json as { error: { context: { reason: string } } }).error.context.reason], [4, 'trust-other']);
  });
});
