import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseBundle, payloadOf, parseStatement, predicateTypes } from '#attest';
import { outside, skipWithout } from './tools.ts';
import { openWorld, type World } from './world.ts';

// slsa-verifier takes a bare DSSE envelope and a public key, and believes a summary of exactly one verifier about exactly one resource.

const skip = skipWithout('slsa-verifier', 'registry', 'git');
let world: World;
let origin: string;
/** Every verdict that stands beside the release, as envelopes in files. */
let verdict: string;
let subjects: string[];

if (skip === false) {
  before(async () => {
    world = await openWorld();
    origin = (JSON.parse(await readFile(join(world.scratch, 'app/cairn.trust.json'), 'utf8')) as { genesis: { origin: string } }).genesis.origin;
    const get = async (path: string) => Buffer.from(await (await fetch(`http://${world.ours}/v2/hello/${path}`)).arrayBuffer());
    const { manifests } = JSON.parse((await get(`referrers/${world.release}`)).toString()) as { manifests: { digest: string; annotations?: Record<string, string> }[] };
    const found = manifests.filter(({ annotations }) => annotations?.['dev.sigstore.bundle.predicateType'] === predicateTypes.verdict);
    assert.equal(found.length, 1);
    const { layers } = JSON.parse((await get(`manifests/${found[0]?.digest}`)).toString()) as { layers: { digest: string }[] };
    const { dsseEnvelope } = parseBundle(await get(`blobs/${layers[0]?.digest}`));
    subjects = parseStatement(payloadOf(dsseEnvelope)).subject.map(({ digest }) => `sha256:${digest.sha256}`);
    verdict = join(world.scratch, 'verdict.json');
    await writeFile(verdict, JSON.stringify(dsseEnvelope));
  });
  after(() => world.close());
}

interface Asked {
  readonly digests: readonly string[];
  readonly environment: string;
  readonly key: string;
  readonly level: string;
  readonly file: string;
}
const verify = (change: Partial<Asked> = {}) => {
  const { digests, environment, key, level, file } = { digests: subjects, environment: 'staging', key: 'admit-staging', level: 'SLSA_BUILD_LEVEL_1', file: verdict, ...change };
  return outside('slsa-verifier', 'verify-vsa', ...digests.flatMap((one) => ['--subject-digest', one]), '--attestation-path', file, '--verifier-id', `https://${origin}/verifiers/admit-${environment}`,
    '--resource-uri', `https://${origin}/environments/${environment}/hello`, '--verified-level', level, '--public-key-path', world.keys(key));
};

test('slsa-verifier believes the verdict that let a release in, about the release and its components', { skip }, async () => {
  assert.ok(subjects.includes(world.release) && subjects.length === 2);
  const ran = await verify();
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stderr, /PASSED: SLSA verification passed/);
});

test('slsa-verifier refuses it for another environment, key, level or digest, and with one byte changed', { skip }, async () => {
  const changed = join(world.scratch, 'changed.json');
  const envelope = JSON.parse(await readFile(verdict, 'utf8')) as { payload: string };
  await writeFile(changed, JSON.stringify({ ...envelope, payload: Buffer.from(Buffer.from(envelope.payload, 'base64').toString().replace('"revision":1', '"revision":2')).toString('base64') }));
  for (const change of [{ environment: 'production' }, { key: 'admit-production' }, { key: 'record' }, { level: 'SLSA_BUILD_LEVEL_3' }, { digests: [...subjects, `sha256:${'0'.repeat(64)}`] }, { file: changed }]) {
    assert.notEqual((await verify(change)).code, 0, JSON.stringify(change));
  }
});
