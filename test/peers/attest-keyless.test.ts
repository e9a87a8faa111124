import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { predicateTypes, subjectOf } from '#attest';
import { canonicalJson } from '#core';
import { putSigstoreRoots } from '#home';
import { policyDigest, type Policy } from '#policy';
import { keylessWorld, type KeylessWorld } from '../support/keyless.ts';
import { library, sign } from '../support/library.ts';
import { runCairn, top } from '../support/machine.ts';
import { pathOf, skipWithout } from './tools.ts';

const skip = skipWithout('fulcio', 'timestamp-server');
const workflow = 'acme/shop/.github/workflows/nightly.yml@refs/heads/main';
let world: KeylessWorld;
before(async () => {
  if (skip === false) world = await keylessWorld(pathOf);
});
after(async () => world?.close());

test('a job of CI attests without a key, and counts as the identity that the policy names', { skip, timeout: 120_000 }, async (t) => {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': '// one\n' }, message: 'one' });
  await putSigstoreRoots(shop.home.paths, canonicalJson(await world.root([])));
  const env = (token: string) => ({ ...shop.environment, SIGSTORE_ID_TOKEN: token });
  const attest = (token: string) => runCairn(shop.repository, env(token), ['attest', release, '--junit', join(top, 'test/fixtures/reports/node.xml'), '--keyless', '--fulcio', world.fulcio, '--timestamp', world.timestamp, '--json']);

  const before = await attest(world.token(workflow));
  assert.equal(before.code, 4, before.stdout + before.stderr);
  assert.equal((before.json as { error: { context: { reason: string } } }).error.context.reason, 'identity-mismatch', 'nobody of the policy');

  const policy = await shop.ledger.policy();
  const next: Policy = { ...policy, version: 2, previous: policyDigest(policy), people: [...policy.people, { name: 'ci', roles: ['builder'], keys: [], machine: true, identities: [{ issuer: world.issuer, subject: `https://github.com/${workflow}` }] }] };
  await shop.ledger.commit([sign({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(next))], predicate: next }, shop.signer)]);
  assert.equal((await shop.ledger.policy()).version, 2);
  const ran = await attest(world.token(workflow));
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  await shop.promote(release, 'staging');
  await assert.rejects(shop.promote(release, 'production'), (error: Error & { context?: { rules?: { rule: string; nearest: string | null }[] } }) => /says FAILED/.test(error.context?.rules?.find(({ rule }) => rule === 'tests')?.nearest ?? ''));
  const other = await attest(world.token(workflow.replace('main', 'evil')));
  assert.equal((other.json as { error: { context: { reason: string } } }).error.context.reason, 'identity-mismatch');
});
