import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { digestOf } from '#core';
import { spkiOf } from '#sign';
import { parseSigstoreRoot, requireIdentity, requirePredicate, requireSubject, verifyForeign } from '#verify';
import { keylessWorld, type KeylessWorld } from '../support/keyless.ts';
import { library, type Library } from '../support/library.ts';
import { pathOf, skipWithout } from './tools.ts';

// What cosign signs, read by us: with keys and with identities, statements and bare files.

const skip = skipWithout('cosign', 'fulcio', 'timestamp-server');
const workflow = 'acme/shop/.github/workflows/release.yml@refs/heads/main';

let world: KeylessWorld;
before(async () => {
  if (skip === false) world = await keylessWorld(pathOf);
});
after(async () => world?.close());

interface Bench {
  readonly shop: Library;
  readonly read: (file: string) => Promise<Buffer>;
  readonly write: (file: string, text: string) => Promise<void>;
  cosign(...parameters: string[]): Promise<void>;
}

/** cosign beside a log of ours, with the world's authorities in its signing configuration and trusted root. */
async function bench(t: TestContext): Promise<Bench> {
  const shop = await library(t);
  const folder = join(shop.folder, 'cosign');
  await mkdir(folder);
  const config = (await (await fetch(`${shop.url}/sigstore/signing_config.json`)).json()) as object;
  const service = (url: string, majorApiVersion = 1) => [{ url, majorApiVersion, validFor: { start: '2020-01-01T00:00:00Z' }, operator: 'test' }];
  const { tlogs } = (await (await fetch(`${shop.url}/sigstore/trusted_root.json`)).json()) as { tlogs: unknown[] };
  await writeFile(join(folder, 'root.json'), JSON.stringify(await world.root(tlogs)));
  await writeFile(join(folder, 'keyed.json'), JSON.stringify(config));
  await writeFile(join(folder, 'keyless.json'), JSON.stringify({ ...config, caUrls: service(world.fulcio), oidcUrls: service(world.issuer), tsaUrls: service(world.timestamp), tsaConfig: { selector: 'ANY' } }));
  await writeFile(join(folder, 'artifact'), 'an artifact\n');
  await writeFile(join(folder, 'predicate.json'), '{"buildDefinition":{"buildType":"https://example.com/by-hand","externalParameters":{}},"runDetails":{"builder":{"id":"https://example.com/me"}}}');
  const cosign = async (...parameters: string[]) => {
    const ran = await promisify(execFile)(pathOf('cosign'), parameters, { cwd: folder, timeout: 60_000, env: { HOME: folder, PATH: process.env['PATH'] ?? '', COSIGN_PASSWORD: 'stone' } }).then(() => undefined, (error: { stderr: string }) => error.stderr);
    assert.equal(ran, undefined, `cosign ${parameters.join(' ')}`);
  };
  return { shop, cosign, read: (file) => readFile(join(folder, file)), write: (file, text) => writeFile(join(folder, file), text) };
}

test('what cosign signed with a key is believed: a file by its digest, a statement by its subject', { skip, timeout: 120_000 }, async (t) => {
  const { shop, cosign, read } = await bench(t);
  await cosign('generate-key-pair');
  const common = ['--yes', '--key', 'cosign.key', '--signing-config', 'keyed.json', '--trusted-root', 'root.json'];
  await cosign('sign-blob', ...common, '--bundle', 'blob.json', 'artifact');
  await cosign('attest-blob', ...common, '--type', 'slsaprovenance1', '--predicate', 'predicate.json', '--bundle', 'statement.json', 'artifact');
  const keys = [spkiOf(createPublicKey(await read('cosign.pub'))).toString('base64')];
  const options = { root: parseSigstoreRoot(await read('root.json')), keys, ours: shop.log };
  const blob = verifyForeign(await read('blob.json'), options);
  requireSubject(blob, digestOf(await read('artifact')));
  assert.deepEqual([blob.content.kind, blob.signer, blob.log?.isOurs], ['signature', { kind: 'key', key: keys[0] }, true]);
  const statement = verifyForeign(await read('statement.json'), options);
  requireSubject(statement, digestOf(await read('artifact')));
  requirePredicate(statement, 'https://slsa.dev/provenance/v1');
});

test('what cosign signed as a workflow is believed for that workflow', { skip, timeout: 120_000 }, async (t) => {
  const { shop, cosign, read } = await bench(t);
  const common = () => ['--yes', '--identity-token', world.token(workflow), '--signing-config', 'keyless.json', '--trusted-root', 'root.json'];
  await cosign('sign-blob', ...common(), '--bundle', 'blob.json', 'artifact');
  await cosign('attest-blob', ...common(), '--type', 'slsaprovenance1', '--predicate', 'predicate.json', '--bundle', 'statement.json', 'artifact');
  for (const file of ['blob.json', 'statement.json']) {
    const verified = verifyForeign(await read(file), { root: parseSigstoreRoot(await read('root.json')), ours: shop.log });
    requireIdentity(verified, { issuer: world.issuer, subject: `https://github.com/${workflow}` });
    requireSubject(verified, digestOf(await read('artifact')));
    assert.equal(verified.log?.isOurs, true);
  }
});

test('a trusted root that cosign wrote is read as it is, and believes what it names', { skip, timeout: 120_000 }, async (t) => {
  const { shop, cosign, read, write } = await bench(t);
  const { fulcio, timestamp } = await world.chains();
  await write('fulcio.pem', fulcio.join('\n'));
  await write('tsa.pem', timestamp.join('\n'));
  await cosign('trusted-root', 'create', `--fulcio=url=${world.fulcio},certificate-chain=fulcio.pem`, `--tsa=url=${world.timestamp},certificate-chain=tsa.pem`, '--out', 'made.json');
  await cosign('sign-blob', '--yes', '--identity-token', world.token(workflow), '--signing-config', 'keyless.json', '--trusted-root', 'root.json', '--bundle', 'blob.json', 'artifact');
  const verified = verifyForeign(await read('blob.json'), { root: parseSigstoreRoot(await read('made.json')), ours: shop.log });
  requireIdentity(verified, { issuer: world.issuer, subject: `https://github.com/${workflow}` });
  assert.equal(verified.log?.isOurs, true);
});
