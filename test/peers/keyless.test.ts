import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bundleFromJSON } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { makeStatement, subjectOf } from '#attest';
import { canonicalJson, digestOf } from '#core';
import { readCheckpoint } from '#log';
import { readToken, signKeyless, tokenOf, type KeylessServices } from '#keyless';
import { parseSigstoreRoot, requireIdentity, requireSubject, verifyForeign } from '#verify';
import { keylessWorld, type KeylessWorld } from '../support/keyless.ts';
import { library, type Library } from '../support/library.ts';
import { outside, pathOf, skipWithout } from './tools.ts';

const skip = skipWithout('fulcio', 'timestamp-server', 'cosign');
const workflow = 'acme/shop/.github/workflows/release.yml@refs/heads/main';
const subject = `https://github.com/${workflow}`;
const artifact = Buffer.from('an artifact\n');
const payload = makeStatement({ predicateType: 'https://slsa.dev/provenance/v1', subject: [subjectOf('a', digestOf(artifact))], predicate: { buildDefinition: { buildType: 'https://example.com/by-hand', externalParameters: {} }, runDetails: { builder: { id: 'https://example.com/me' } } } });

let world: KeylessWorld;
before(async () => {
  if (skip === false) world = await keylessWorld(pathOf);
});
after(async () => world?.close());

async function rootWith(shop: Library): Promise<Buffer> {
  const { tlogs } = (await (await fetch(`${shop.url}/sigstore/trusted_root.json`)).json()) as { tlogs: unknown[] };
  return canonicalJson(await world.root(tlogs));
}

const servicesOf = (shop: Library): KeylessServices => ({ fulcio: world.fulcio, timestamp: world.timestamp, log: shop.url });

test('a statement signed as a workflow is believed by us, by @sigstore/verify and by cosign, offline', { skip, timeout: 120_000 }, async (t) => {
  const shop = await library(t);
  const signed = await signKeyless(payload, readToken(world.token(workflow)), servicesOf(shop), randomBytes(8));
  const root = await rootWith(shop);

  const verified = verifyForeign(signed.bundle, { root: parseSigstoreRoot(root), ours: shop.log });
  requireIdentity(verified, { issuer: world.issuer, subject });
  requireSubject(verified, digestOf(artifact));
  assert.deepEqual([verified.log?.isOurs, verified.log?.index, verified.times.length], [true, Number(signed.entry.logIndex), 2]);
  // The time of its place in our log is our log's, whatever the authority says.
  assert.equal(verified.log?.time, readCheckpoint(signed.entry.inclusionProof.checkpoint.envelope, shop.log).time);
  // Whoever knows our log by the published root alone believes it too.
  assert.equal(verifyForeign(signed.bundle, { root: parseSigstoreRoot(root) }).log?.isOurs, false);

  const material = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(root.toString())));
  new Verifier(material, { ctlogThreshold: 0 }).verify(toSignedEntity(bundleFromJSON(JSON.parse(signed.bundle.toString()))), { extensions: { issuer: world.issuer } });

  const at = (name: string) => join(shop.folder, name);
  await writeFile(at('bundle.json'), signed.bundle);
  await writeFile(at('root.json'), root);
  await writeFile(at('artifact'), artifact);
  const cosign = (identity: string) => outside('cosign', 'verify-blob-attestation', '--bundle', at('bundle.json'), '--trusted-root', at('root.json'), '--certificate-identity', identity, '--certificate-oidc-issuer', world.issuer, '--insecure-ignore-sct', '--type', 'slsaprovenance1', at('artifact'));
  const good = await cosign(subject);
  assert.equal(good.code, 0, good.stderr);
  assert.notEqual((await cosign(`${subject}x`)).code, 0);
});

test('a keyless bundle is believed for exactly its identity, its issuer and its subject', { skip, timeout: 120_000 }, async (t) => {
  const shop = await library(t);
  const { bundle } = await signKeyless(payload, readToken(world.token(workflow)), servicesOf(shop), randomBytes(8));
  const verified = verifyForeign(bundle, { root: parseSigstoreRoot(await rootWith(shop)) });
  const refused = (call: () => void, reason: string) => assert.throws(call, { code: 'verification-failed', context: { reason } });
  for (const near of [`${subject}x`, subject.slice(0, -1), subject.toUpperCase(), subject.replace('shop', 'sh.p'), '.*']) refused(() => requireIdentity(verified, { issuer: world.issuer, subject: near }), 'identity-mismatch');
  refused(() => requireIdentity(verified, { issuer: `${world.issuer}/`, subject }), 'issuer-mismatch');
  refused(() => requireSubject(verified, digestOf('another')), 'subject-mismatch');
});

test("the token is GitHub's where a job may have one, and what Fulcio refuses is said", { skip, timeout: 120_000 }, async (t) => {
  const shop = await library(t);
  const asked: string[] = [];
  const github = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization}`);
    response.end(JSON.stringify({ count: 1, value: world.token(workflow) }));
  }).listen(0, '127.0.0.1');
  t.after(() => github.close());
  await once(github, 'listening');
  const url = `http://127.0.0.1:${(github.address() as AddressInfo).port}/token?api-version=2`;
  const token = await tokenOf({ ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'secret' });
  assert.deepEqual(asked, ['/token?api-version=2&audience=sigstore Bearer secret']);
  const { bundle } = await signKeyless(payload, token, servicesOf(shop), randomBytes(8));
  assert.equal(verifyForeign(bundle, { root: parseSigstoreRoot(await rootWith(shop)) }).signer.kind, 'identity');
  await assert.rejects(signKeyless(payload, readToken(world.token(workflow, 'another')), servicesOf(shop), randomBytes(8)), (error: { code: string }) => ['unauthorized', 'refused'].includes(error.code));
});
