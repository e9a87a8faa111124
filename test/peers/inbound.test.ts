import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { parsePredicate, predicateTypes } from '#attest';
import { CairnError } from '#core';
import { registryClient } from '#oci';
import { library, type Library } from '../support/library.ts';
import { freePorts, passphrase, user, type Ran } from '../support/machine.ts';
import { pathOf, skipWithout } from './tools.ts';

const skip = skipWithout('cosign', 'crane', 'registry');

interface Signing {
  readonly shop: Library;
  readonly release: `sha256:${string}`;
  readonly image: string;
  /** cosign with the key of a person of the policy. */
  cosign(...parameters: string[]): Promise<void>;
  foreign(): Promise<{ form: string; logIndex: number }[]>;
  refusal(): Promise<CairnError>;
}

const passed = '{"result":"PASSED","configuration":[{"name":"nightly"}]}';
const failed = '{"result":"FAILED","configuration":[{"name":"nightly"}]}';

async function signing(t: TestContext): Promise<Signing> {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': '// one\n' }, message: 'one' });
  await shop.promote(release, 'staging');
  const folder = join(shop.folder, 'cosign');
  await mkdir(folder);
  for (const name of ['trusted_root', 'signing_config']) await writeFile(join(folder, `${name}.json`), await (await fetch(`${shop.url}/sigstore/${name}.json`)).text());
  await writeFile(join(folder, 'no_services.json'), '{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":[],"oidcUrls":[],"rekorTlogUrls":[],"tsaUrls":[],"rekorTlogConfig":{"selector":"ANY"},"tsaConfig":{"selector":"ANY"}}');
  await writeFile(join(folder, 'passed.json'), passed);
  await writeFile(join(folder, 'failed.json'), failed);
  const key = join(shop.home.paths.people, `${user}.key`);
  const env = { HOME: folder, PATH: process.env['PATH'] ?? '', COSIGN_PASSWORD: passphrase };
  const cosign = async ([command = '', ...rest]: string[]) => {
    await promisify(execFile)(pathOf('cosign'), [command, '--yes', '--key', key, ...rest], { cwd: folder, timeout: 60_000, env });
  };
  return {
    shop, release, image: `${new URL(shop.url).host}/shop@${release}`,
    cosign: (...parameters) => cosign(parameters),
    foreign: async () => (await shop.ledger.about(release, predicateTypes.foreign)).map((one) => ({ form: parsePredicate('foreign', one.statement).form, logIndex: one.logIndex })),
    refusal: async () => shop.promote(release, 'production').then(() => assert.fail('it was let in'), (error: CairnError) => error),
  };
}

const ours = ['--signing-config', 'signing_config.json', '--trusted-root', 'trusted_root.json'];
const offline = ['--signing-config', 'no_services.json'];
const testType = ['--type', predicateTypes.tests];
const saidFailed = (error: CairnError) => {
  assert.equal(error.code, 'refused', error.message);
  const { rules } = error.context as { rules: { rule: string; passed: boolean; nearest: string | null }[] };
  const [bad, ...others] = rules.filter((one) => !one.passed);
  assert.deepEqual([bad?.rule, others], ['tests', []]);
  return Number(/log entry (\d+) says FAILED/.exec(bad?.nearest ?? '')?.[1]);
};

test('what a person of the policy attested with cosign in our log counts at the next promotion, from its entry there on', { skip, timeout: 120_000 }, async (t) => {
  const { shop, image, release, cosign, foreign, refusal } = await signing(t);
  const before = (await shop.ledger.checkpoint())?.size ?? 0;
  await cosign('attest', ...testType, '--predicate', 'failed.json', ...ours, image);
  assert.equal(saidFailed(await refusal()), before, 'the entry that cosign made in our log, not the one that took it in');
  assert.deepEqual((await foreign()).map(({ form }) => form), ['bundle']);
  await cosign('attest', ...testType, '--predicate', 'passed.json', ...ours, image);
  await cosign('sign', ...ours, image);
  await shop.promote(release, 'production');
  assert.equal((await foreign()).length, 3);
  assert.match((await shop.cairn('show', release)).stdout, /foreign +tests of another tool +by ada +logged/);
  const { code, stdout, stderr } = await shop.cairn('verify', release);
  assert.equal(code, 0, stdout + stderr);
});

test('without any log, and in the old forms under tags, it counts from where we logged it', { skip, timeout: 120_000 }, async (t) => {
  const { shop, image, release, cosign, foreign, refusal } = await signing(t);
  const old = ['--new-bundle-format=false', '--use-signing-config=false', '--tlog-upload=false'];
  await cosign('attest', ...testType, '--predicate', 'failed.json', ...old, image);
  const at = saidFailed(await refusal());
  assert.deepEqual(await foreign(), [{ form: 'dsse', logIndex: at }]);
  await cosign('attest', ...testType, '--predicate', 'passed.json', ...offline, image);
  await cosign('sign', ...old, '--registry-referrers-mode=legacy', image);
  await shop.promote(release, 'production');
  assert.deepEqual((await foreign()).map(({ form }) => form).toSorted(), ['bundle', 'dsse', 'simplesigning']);
});

test('a stranger who attests with cosign counts for nothing, and a bundle of his is refused', { skip, timeout: 120_000 }, async (t) => {
  const { shop, image, release, foreign } = await signing(t);
  const folder = join(shop.folder, 'cosign');
  const env = { HOME: folder, PATH: process.env['PATH'] ?? '', COSIGN_PASSWORD: '' };
  const stranger = (...parameters: string[]) => promisify(execFile)(pathOf('cosign'), parameters, { cwd: folder, timeout: 60_000, env });
  await stranger('generate-key-pair');
  await stranger('attest', '--yes', '--key', 'cosign.key', ...testType, '--predicate', 'failed.json', ...ours, image);
  await shop.promote(release, 'production');
  assert.deepEqual(await foreign(), []);
  await stranger('attest-blob', '--yes', '--key', 'cosign.key', ...testType, '--predicate', 'passed.json', ...ours, '--bundle', 'theirs.json', 'passed.json');
  const { context } = await shop.fails(4, 'verification-failed', 'attest', release, '--bundle', join(folder, 'theirs.json'));
  assert.equal(context['reason'], 'unknown-key');
});

async function distribution(t: TestContext, folder: string): Promise<string> {
  const port = await freePorts(1);
  await mkdir(join(folder, 'registry'));
  await writeFile(join(folder, 'registry.yml'), `version: 0.1\nstorage: {filesystem: {rootdirectory: ${join(folder, 'registry')}}}\nhttp: {addr: 127.0.0.1:${port}}\n`);
  const child = spawn(pathOf('registry'), ['serve', join(folder, 'registry.yml')], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  });
  await new Promise<void>((resolve, reject) => {
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => (text += part).includes('listening on') && resolve());
    child.once('exit', (code) => reject(new Error(`registry ended with ${code}: ${text}`)));
  });
  return `127.0.0.1:${port}`;
}

test('what cosign attached on distribution, by the fallback tag and by the old ones, is brought and counts', { skip, timeout: 120_000 }, async (t) => {
  const { shop, image, release, cosign, foreign, refusal } = await signing(t);
  const theirs = `${await distribution(t, shop.folder)}/team/shop`;
  await promisify(execFile)(pathOf('crane'), ['copy', image, `${theirs}:one`]);
  assert.equal((await shop.fails(6, 'not-found', 'attest', release, '--from', theirs)).message.includes('nothing is attached'), true);
  const there = `${theirs}@${release}`;
  await cosign('attest', ...testType, '--predicate', 'failed.json', ...ours, there);
  await cosign('sign', '--new-bundle-format=false', '--use-signing-config=false', '--tlog-upload=false', '--registry-referrers-mode=legacy', there);
  const brought = await shop.json<{ foreign: { logged: number[]; others: number } }>('attest', release, '--from', theirs);
  assert.equal(brought.foreign.logged.length, 2);
  assert.equal(brought.foreign.others, 0);
  saidFailed(await refusal());
  assert.deepEqual((await foreign()).map(({ form }) => form).toSorted(), ['bundle', 'simplesigning']);
  const again = await shop.json<{ foreign: { logged: number[] } }>('attest', release, '--from', theirs);
  assert.deepEqual(again.foreign.logged, brought.foreign.logged, 'a second time it is the same');
});

test('a registry that has nothing, does not answer, or asks for patience: three answers with three codes', { skip, timeout: 120_000 }, async (t) => {
  const { shop, release } = await signing(t);
  const server = createServer((_, response) => response.writeHead(429, { 'retry-after': '7' }).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const throttled = await shop.fails(3, 'throttled', 'attest', release, '--from', `127.0.0.1:${(server.address() as AddressInfo).port}/team/shop`);
  assert.equal(throttled.context['retryAfterSeconds'], 7);
  await shop.fails(3, 'unreachable', 'attest', release, '--from', '127.0.0.1:1/team/shop');
  const theirs = `${await distribution(t, shop.folder)}/team/shop`;
  await shop.fails(6, 'not-found', 'attest', release, '--from', theirs);
});

test('what Cairn signed passes cosign verify and verify-attestation on our registry, and on distribution by the fallback tag', { skip: skip || skipWithout('oras'), timeout: 120_000 }, async (t) => {
  const { shop, image, release } = await signing(t);
  await shop.promote(release, 'production');
  const folder = join(shop.folder, 'cosign');
  const { stdout: component } = await promisify(execFile)(pathOf('crane'), ['manifest', image]).then(({ stdout }) => ({ stdout: (JSON.parse(stdout) as { manifests: { digest: string }[] }).manifests[0]?.digest ?? '' }));
  const theirs = `${await distribution(t, shop.folder)}/team/shop`;
  await promisify(execFile)(pathOf('oras'), ['cp', '-r', '--from-plain-http', '--to-plain-http', image, `${theirs}:one`]);
  const admit = join(shop.home.paths.keys, 'admit-production.pub');
  const person = join(shop.home.paths.people, `${user}.pub`);
  const run = (...parameters: string[]): Promise<Ran | { code: number; stderr: string }> =>
    promisify(execFile)(pathOf('cosign'), parameters, { cwd: folder, timeout: 60_000, env: { HOME: folder, PATH: process.env['PATH'] ?? '' } }).then(() => ({ code: 0, stderr: '' }), (error: { code: number; stderr: string }) => error);
  for (const repository of [image.split('@')[0], theirs]) {
    for (const digest of [release, component]) {
      const reference = `${repository}@${digest}`;
      for (const [type, key] of [['slsaprovenance1', person], [predicateTypes.tests, person], [predicateTypes.verdict, admit]] as const) {
        const ran = await run('verify-attestation', '--key', key, '--type', type, '--trusted-root', 'trusted_root.json', reference);
        assert.equal(ran.code, 0, `${type} of ${reference}: ${ran.stderr}`);
      }
      const admitted = await run('verify', '--key', admit, '--trusted-root', 'trusted_root.json', reference);
      assert.equal(admitted.code, 0, admitted.stderr);
    }
  }
  // The sign of a registry that has no referrers of its own: it is the tag that was read.
  assert.ok(await registryClient(`http://${theirs.split('/')[0]}`, 'team/shop').hasManifest(release.replace(':', '-')));
});

test('a bundle in a file counts as an attached one does', { skip, timeout: 120_000 }, async (t) => {
  const { shop, release, cosign, refusal } = await signing(t);
  const folder = join(shop.folder, 'cosign');
  // Signed where the image is not: over the bytes that its digest is of.
  const index = await registryClient(shop.url, 'shop').manifest(release);
  await writeFile(join(folder, 'index.json'), index.bytes);
  await cosign('attest-blob', ...testType, '--predicate', 'failed.json', ...ours, '--bundle', 'bundle.json', 'index.json');
  const { foreign } = await shop.json<{ foreign: { logged: number[] } }>('attest', release, '--bundle', join(folder, 'bundle.json'));
  assert.equal(foreign.logged.length, 1);
  saidFailed(await refusal());
  await writeFile(join(folder, 'cut.json'), (await readFile(join(folder, 'bundle.json'))).subarray(0, 200));
  await shop.fails(4, 'malformed-document', 'attest', release, '--bundle', join(folder, 'cut.json'));
});
