import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { predicateTypes, provenance, subjectOf } from '#attest';
import { CairnError, digestOf } from '#core';
import type { System } from '#cli';
import { resolve } from '../../src/cli/reference.ts';
import { openSession } from '../../src/cli/session.ts';
import { attach, library, sign, type Library, type Made } from '../support/library.ts';
import { top } from '../support/machine.ts';
import { assertPublished } from '../support/schema.ts';

// What is read back: each command on a home with a history, as a person sees it and as --json says it.

interface Shop {
  readonly shop: Library;
  readonly first: Made;
  readonly second: Made;
  readonly third: Made;
}

/** Two releases went to production, the second with a setting of its own; a third was rolled back from. */
async function history(t: Parameters<typeof library>[0]): Promise<Shop> {
  const shop = await library(t);
  const first = await shop.release({ files: { 'server.js': 'one\ntwo\nthree\n', 'lib/basket.js': 'basket\n' }, packages: { money: '2.1.0', left: '1.0.0' }, configuration: { GREETING: 'hi' }, message: 'Start' });
  await shop.promote(first.release, 'staging');
  await shop.promote(first.release, 'production');
  const second = await shop.release({ files: { 'server.js': 'one\n2\nthree\nfour\n', 'lib/cart.js': 'cart\n' }, packages: { money: '3.0.0', left: '1.0.0' }, configuration: { GREETING: 'hi' }, message: 'Add basket' });
  await shop.promote(second.release, 'staging');
  await shop.promote(second.release, 'production', { CURRENCY: 'bankers' });
  const third = await shop.release({ files: { 'server.js': 'worse\n' }, packages: { money: '3.0.0' }, message: 'Make it worse' });
  await shop.promote(third.release, 'staging');
  await shop.promote(third.release, 'production', { CURRENCY: 'bankers' });
  await shop.rollback('production');
  return { shop, first, second, third };
}

test('what is read back', async (t) => {
  const { shop, first, second, third } = await history(t);
  const short = (digest: string) => digest.slice(7, 19);

  await t.test('status says what runs, what it returns to, what is held and what is owed', async () => {
    const { stdout } = await shop.cairn('status');
    assert.match(stdout, new RegExp(`staging +shop ${short(third.release)} +revision 3 confirmed`));
    assert.match(stdout, new RegExp(`production +shop ${short(second.release)} +revision 4 confirmed, restores 2`));
    assert.match(stdout, new RegExp(`back to ${short(second.release)} +warm +cairn rollback staging`));
    assert.match(stdout, new RegExp(`back to ${short(first.release)} +is started first +cairn rollback production`));
    assert.match(stdout, new RegExp(`held +${short(third.release)} may not return to production +cairn resume`));
    const { places, log } = await shop.json<{ places: { environment: string; quarantined: string[]; wayBack: { restores: number } }[]; log: { size: number } }>('status');
    const production = places.find(({ environment }) => environment === 'production');
    assert.deepEqual([production?.quarantined, production?.wayBack.restores], [[third.release], 1]);
    assert.ok(log.size > 60);
  });

  await t.test('a reference is an environment, what ran there before, a revision, or a digest; nothing else', async () => {
    // In this process: a start for each would take longer than all the rest.
    const system = { home: shop.home.paths.root, directory: shop.repository } as System;
    const session = await openSession(system);
    const release = async (reference: string) => (await resolve(system, session, reference)).release;
    assert.equal(await release('production'), second.release);
    assert.equal(await release('production~1'), third.release);
    assert.equal(await release('production~'), third.release);
    assert.equal(await release('production:1'), first.release);
    assert.equal(await release('shop/staging~2'), first.release);
    assert.equal(await release('4'), second.release, 'only production has a revision 4');
    assert.equal(await release(`shop@${first.release}`), first.release);
    assert.equal(await release(first.release.slice(7, 12)), first.release);
    assert.equal(await release(short(second.release)), second.release);
    const refused = (reference: string, code: string) => assert.rejects(release(reference), (error) => error instanceof CairnError && error.code === code && error.fix !== undefined, reference);
    for (const unknown of ['nowhere', 'beta~1', 'v1', 'ffffffffff', 'production~9', 'production:77', 'sha256:12', '../x', 'other/production', '77', digestOf('none')]) await refused(unknown, 'unknown-reference');
    await refused('3', 'ambiguous-reference');
    const alike = ['1', '2'].map((end) => `sha256:0badcafe${'0'.repeat(55)}${end}` as const);
    const built = { application: 'shop', source: { uri: 'git+https://example.com', commit: 'c'.repeat(40) }, stages: digestOf('x'), environment: [], isolation: null, dependencies: [], builder: { id: 'x', version: '0' }, invocation: 'x', startedAt: '', finishedAt: '' };
    for (const digest of alike) await shop.ledger.commit([sign(provenance({ ...built, subject: [subjectOf('shop', digest)] }), shop.signer)]);
    await refused('0badcafe', 'ambiguous-reference');
    assert.equal(await release(alike[0]?.slice(7) ?? ''), alike[0]);
    await shop.fails(2, 'unknown-reference', 'show', 'v1');
    await shop.fails(2, 'unknown-environment', 'trace', 'nowhere');
  });

  await t.test('show has components, layers by stage, packages, tests, notes, verdicts and where it ran', async () => {
    const shown = await shop.json<{
      components: { name: string; layers: { stage: string; size: number }[] }[]; packages: { name: string; version: string }[]; commits: { subject: string }[];
      statements: { kind: string; signer: string; says: string }[]; revisions: { environment: string; number: number; state: string }[];
    }>('show', second.release);
    assert.deepEqual(shown.components[0]?.layers.map(({ stage }) => stage), ['deps', 'app']);
    assert.deepEqual(shown.packages.map(({ name, version }) => `${name} ${version}`), ['left 1.0.0', 'money 3.0.0']);
    assert.deepEqual(shown.commits.map(({ subject }) => subject), ['Add basket']);
    assert.deepEqual(shown.statements.find(({ kind }) => kind === 'tests'), { ...shown.statements.find(({ kind }) => kind === 'tests'), signer: 'ada', says: '41 passed' });
    assert.deepEqual(shown.revisions.map(({ environment, number, state }) => `${environment} ${number} ${state}`), ['production 2 retained', 'production 4 confirmed', 'staging 2 standby']);
    const { stdout } = await shop.cairn('show', 'production');
    assert.match(stdout, /next +cairn verify/);
  });

  await t.test('trace leads from the process to the commit and to who vouched, proven against the checkpoint', async () => {
    const { stdout } = await shop.cairn('trace', 'production');
    assert.match(stdout, new RegExp(`pid ${process.pid}  <-  revision 4  <-  shop ${short(second.release)}  <-  image [0-9a-f]{12}  <-  layers deps [0-9a-f]{12}, app [0-9a-f]{12}`));
    assert.match(stdout, new RegExp(`<-  commit ${second.commit.slice(0, 7)} "Add basket"  <-  2 packages`));
    assert.match(stdout, /vouched +built by ada; tests by ada; released by ada; verdict [0-9a-f]{12}; log \d+-\d+, proven against checkpoint [0-9a-f]{12}/);
    const traced = await shop.json<{ release: string }>('trace', '--pid', String(process.pid));
    assert.ok([second.release, third.release].includes(traced.release as never));
    await shop.fails(2, 'unknown-reference', 'trace', '--pid', '1');
    await shop.fails(2, 'usage', 'trace');
  });

  await t.test('diff has commits, packages with their distance, settings, files by lines and evidence', async () => {
    const { stdout } = await shop.cairn('diff', 'production:1', 'production');
    assert.match(stdout, new RegExp(`commits +1 +${second.commit.slice(0, 7)} "Add basket"`));
    assert.match(stdout, /packages +1 +money 2\.1\.0 -> 3\.0\.0 \(major\)/);
    assert.match(stdout, /config +1 +CURRENCY absent -> bankers/);
    assert.match(stdout, /files +3 +lib\/basket\.js -1, lib\/cart\.js \+1, server\.js \+2 -1/);
    assert.match(stdout, /evidence +equal kinds +1 person both times/);
    const back = await shop.json<{ commits: { removed: unknown[] }; packages: { back: boolean }[] }>('diff', 'production', 'production:1');
    assert.deepEqual([back.commits.removed.length, back.packages[0]?.back], [1, true]);
    assert.match((await shop.cairn('diff', 'production:2', 'production')).stdout, /same +release and settings are equal/);
  });

  await t.test('diff without the repository takes the commits from the signed notes', async () => {
    await rename(join(shop.repository, '.git'), join(shop.repository, '.gone'));
    const { commits } = await shop.json<{ commits: { added: { subject: string }[]; from: string } }>('diff', first.release, third.release);
    await rename(join(shop.repository, '.gone'), join(shop.repository, '.git'));
    assert.deepEqual([commits.from, commits.added.map(({ subject }) => subject)], ['notes', ['Make it worse', 'Add basket']]);
  });

  await t.test('verify reads every layer again, and counts what strangers attach for nothing', async () => {
    const before = await shop.json<{ statements: { attached: boolean }[]; blobs: { count: number }; strangers: number }>('verify', 'production');
    assert.deepEqual([before.blobs.count, before.strangers], [5, 0]);
    await attach(shop, second.release, { predicateType: predicateTypes.tests, subject: [subjectOf('shop', second.release)], predicate: { result: 'PASSED' } });
    assert.equal((await shop.json<{ strangers: number }>('verify', 'production')).strangers, 1);
    await shop.fails(4, 'verification-failed', 'verify', digestOf('nothing'));
  });

  await t.test('audit is in one line', async () => {
    assert.match((await shop.cairn('audit')).stdout, /^ {2}\d+ log entries, \d+ checkpoints in one chain, \d+ statements, \d+ verdicts, 7 revisions, 0 journal lines, \d+ kB in \d+ blobs re-hashed: all hold {5}\d+\.\d s\n$/);
  });

  await t.test('a flipped byte in a layer is found by verify, whoever asks', async () => {
    const { components } = await shop.json<{ components: { layers: { digest: string }[] }[] }>('show', first.release);
    const layer = components[0]?.layers[1]?.digest.slice(7) ?? '';
    const path = join(shop.home.paths.registry, 'content/blobs/sha256', layer.slice(0, 2), layer);
    const bytes = await readFile(path);
    await writeFile(path, bytes.with(20, (bytes[20] ?? 0) ^ 1));
    await shop.fails(4, 'digest-mismatch', 'verify', first.release);
    await rm(path);
    const gone = await shop.fails(4, 'verification-failed', 'verify', first.release);
    assert.match(gone.message, new RegExp(layer.slice(0, 12)));
    await writeFile(path, bytes);
    assert.equal((await shop.cairn('verify', first.release)).code, 0);
  });

  await t.test('outside of any repository the machine\'s own home is believed, and the one application is meant', async () => {
    const ran = await shop.cairnAt({ cwd: shop.folder }, 'show', 'production', '--json');
    assert.equal((ran.json as { release: string }).release, second.release);
    assert.equal((await readdir(shop.folder)).includes('.git'), false);
  });

  await t.test('a shell is offered commands, environments and digests, with the server away too', async () => {
    const offered = async (...words: string[]) => {
      const script = `source <(cairn completion bash); COMP_WORDS=(cairn ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _cairn; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = await promisify(execFile)('bash', ['-c', `cairn() { '${process.execPath}' '${join(top, 'bin/cairn.js')}' "$@"; }; ${script}`], { cwd: shop.repository, env: shop.environment });
      return stdout.split('\n').filter((line) => line !== '');
    };
    assert.deepEqual(await offered('rollb'), ['rollback']);
    assert.deepEqual(await offered('promote', short(first.release), 'st'), ['staging']);
    assert.deepEqual(await offered('show', 'production~'), ['production~1']);
    assert.deepEqual(await offered('show', short(first.release).slice(0, 6)), [short(first.release)]);
    assert.ok((await offered('status', '--')).includes('--watch'));
    const away = await shop.cairnAt({ port: 9 }, '__complete', 'verify', short(first.release).slice(0, 6));
    assert.match(away.stdout, new RegExp(`^${short(first.release)}\t`));
    assert.equal((await shop.cairn('completion', 'tcsh')).code, 2);
  });

  await t.test('where the server is away, status asks the runner what it serves', async () => {
    const live = { content: second.release, release: second.release, revision: 4, share: 100 };
    const instance = { component: 'web', content: live.content, release: live.release, pid: 1, port: 1, healthy: true, restarts: 0 };
    const timeline = { application: 'shop', environment: 'production', live, former: null, ready: [], instances: [instance], counts: {} };
    const state = { timelines: [timeline], sequence: 1, pid: 1, isolation: { users: false, limits: false, reason: 'not root' } };
    const runner = createServer((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(state)));
    await new Promise<void>((ready) => runner.listen(shop.home.paths.socket, ready));
    const { stdout, code } = await shop.cairnAt({ port: 9 }, 'status');
    assertPublished(['status'], (await shop.cairnAt({ port: 9 }, 'status', '--json')).json);
    await new Promise((closed) => runner.close(closed));
    assert.equal(code, 0);
    assert.match(stdout, /server +does not answer: what the runner serves goes on +cairn up/);
    assert.match(stdout, new RegExp(`production +shop ${short(second.release)} +revision 4 +1 of 1 healthy`));
  });

  await t.test('where neither answers, status says so and what mends it', async () => {
    const ran = await shop.cairnAt({ port: 9 }, 'status', '--json');
    assert.deepEqual([ran.code, (ran.json as { error: { code: string; fix: string } }).error], [3, { code: 'unreachable', message: 'no control server answers', fix: 'cairn up', context: {} }]);
  });
});
