import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { inclusionRoot, leafHash, readCheckpoint } from '#log';
import { library, type Library } from '../support/library.ts';
import { pathOf, skipWithout } from './tools.ts';

const skip = skipWithout('cosign');

interface Signing {
  readonly shop: Library;
  readonly image: string;
  cosign(...parameters: string[]): Promise<{ code: number; stderr: string; stdout: string }>;
}

/** A server with one release, and cosign beside it with a key of its own and the two files that the server publishes. */
async function signing(t: TestContext): Promise<Signing> {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': '// one\n' }, message: 'one' });
  const folder = join(shop.folder, 'cosign');
  await mkdir(folder);
  for (const name of ['trusted_root', 'signing_config']) await writeFile(join(folder, `${name}.json`), await (await fetch(`${shop.url}/sigstore/${name}.json`)).text());
  const cosign = (...parameters: string[]) =>
    promisify(execFile)(pathOf('cosign'), parameters, { cwd: folder, timeout: 60_000, env: { HOME: folder, PATH: process.env['PATH'] ?? '', COSIGN_PASSWORD: 'stone' } }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  const made = await cosign('generate-key-pair');
  assert.equal(made.code, 0, made.stderr);
  await writeFile(join(folder, 'predicate.json'), '{"buildDefinition":{"buildType":"https://example.com/by-hand","externalParameters":{}},"runDetails":{"builder":{"id":"https://example.com/me"}}}');
  return { shop, image: `${new URL(shop.url).host}/shop@${release}`, cosign };
}

const ours = ['--signing-config', 'signing_config.json', '--trusted-root', 'trusted_root.json'];

test('what cosign signs with the published files is logged here, and verifies with the published root alone', { skip, timeout: 120_000 }, async (t) => {
  const { shop, image, cosign } = await signing(t);
  const before = (await shop.ledger.checkpoint())?.size ?? 0;
  const signed = await cosign('sign', '--yes', '--key', 'cosign.key', ...ours, image);
  assert.equal(signed.code, 0, signed.stderr);
  const verified = await cosign('verify', '--key', 'cosign.pub', '--trusted-root', 'trusted_root.json', image);
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stderr, /transparency log was verified offline/);
  assert.equal((await shop.ledger.checkpoint())?.size, before + 1, 'a leaf and nothing else');
});

test('what cosign attests is logged here and verifies, and counts for nothing', { skip, timeout: 120_000 }, async (t) => {
  const { shop, image, cosign } = await signing(t);
  const before = await shop.ledger.dumpIndex();
  const attested = await cosign('attest', '--yes', '--key', 'cosign.key', '--type', 'slsaprovenance1', '--predicate', 'predicate.json', ...ours, image);
  assert.equal(attested.code, 0, attested.stderr);
  const verified = await cosign('verify-attestation', '--type', 'slsaprovenance1', '--key', 'cosign.pub', '--trusted-root', 'trusted_root.json', image);
  assert.equal(verified.code, 0, verified.stderr);
  assert.equal(await shop.ledger.dumpIndex(), before);
  assert.equal((await shop.ledger.rebuild()).same, true);
});

test('a file that cosign signs is logged here, and its entry proves into the checkpoint that is served', { skip, timeout: 120_000 }, async (t) => {
  const { shop, cosign } = await signing(t);
  const signed = await cosign('sign-blob', '--yes', '--key', 'cosign.key', ...ours, '--bundle', 'blob.bundle', 'predicate.json');
  assert.equal(signed.code, 0, signed.stderr);
  const verified = await cosign('verify-blob', '--key', 'cosign.pub', '--trusted-root', 'trusted_root.json', '--bundle', 'blob.bundle', 'predicate.json');
  assert.equal(verified.code, 0, verified.stderr);
  const bundle = JSON.parse(await readFile(join(shop.folder, 'cosign/blob.bundle'), 'utf8')) as { verificationMaterial: { tlogEntries: { logIndex: string; canonicalizedBody: string }[] } };
  const [entry] = bundle.verificationMaterial.tlogEntries;
  const note = await (await fetch(`${shop.url}/checkpoint`)).text();
  const { size, root } = readCheckpoint(note, shop.log);
  const proof = await shop.ledger.inclusion(Number(entry?.logIndex), size);
  const body = Buffer.from(entry?.canonicalizedBody ?? '', 'base64');
  assert.deepEqual(inclusionRoot(leafHash(body), Number(entry?.logIndex), size, proof.map((one) => Buffer.from(one, 'base64'))), root);
});

test("after the log's key was changed, cosign verifies what was logged before and after with the one root that names both keys", { skip, timeout: 180_000 }, async (t) => {
  const { shop, image, cosign } = await signing(t);
  const before = await cosign('sign', '--yes', '--key', 'cosign.key', ...ours, image);
  assert.equal(before.code, 0, before.stderr);
  const oldRoot = await readFile(join(shop.folder, 'cosign/trusted_root.json'), 'utf8');
  const { retired } = await shop.json<{ retired: { size: number } }>('key', 'rotate', 'log');
  const newRoot = await (await fetch(`${shop.url}/sigstore/trusted_root.json`)).text();
  await writeFile(join(shop.folder, 'cosign/trusted_root.json'), newRoot);
  await writeFile(join(shop.folder, 'cosign/old_root.json'), oldRoot);
  const attested = await cosign('attest', '--yes', '--key', 'cosign.key', '--type', 'slsaprovenance1', '--predicate', 'predicate.json', ...ours, image);
  assert.equal(attested.code, 0, attested.stderr);
  assert.ok(((await shop.ledger.checkpoint())?.size ?? 0) > retired.size);
  const verify = (root: string) => cosign('verify', '--key', 'cosign.pub', '--trusted-root', root, image);
  const attestation = (root: string) => cosign('verify-attestation', '--type', 'slsaprovenance1', '--key', 'cosign.pub', '--trusted-root', root, image);
  for (const ran of [await verify('trusted_root.json'), await attestation('trusted_root.json')]) assert.equal(ran.code, 0, ran.stderr);
  assert.notEqual((await attestation('old_root.json')).code, 0, 'the old root does not know the new key');
  // Our own release, signed before the change, as its people's cosign sees it.
  const released = await cosign('verify', '--key', join(shop.home.paths.people, 'ada.pub'), '--trusted-root', 'trusted_root.json', image);
  assert.equal(released.code, 0, released.stderr);
});
