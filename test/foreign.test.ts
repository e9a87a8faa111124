import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { bundleMediaType, evidenceSetDigest, pae, parsePredicate, predicateTypes, subjectOf } from '#attest';
import type { CairnError, Digest } from '#core';
import { delivery, type DeliveryOptions } from '#release';
import { keyHint } from '#sign';
import { readForeign, seedRoot } from '#verify';
import { application, governed, signedBy, signerOf, type World } from './support/governed.ts';

/** As cosign writes a bundle with a key and no log. */
function bundle(by: string, about: Digest, predicateType: string, predicate: unknown, forged = false): string {
  const payload = Buffer.from(JSON.stringify({ _type: 'https://in-toto.io/Statement/v1', subject: [{ name: 'x', digest: { sha256: about.slice(7) } }], predicateType, predicate }, null, 1));
  const type = 'application/vnd.in-toto+json';
  const sig = signerOf(forged ? 'rex' : by).sign(pae(type, payload)).toString('base64');
  return JSON.stringify({ mediaType: bundleMediaType, verificationMaterial: { publicKey: { hint: keyHint(signerOf(by).publicKey) } }, dsseEnvelope: { payload: payload.toString('base64'), payloadType: type, signatures: [{ sig }] } });
}

function opened(world: World, more: Partial<DeliveryOptions> = {}) {
  const complaints: CairnError[] = [];
  const moves = delivery({
    ...world.options, report: (error) => void complaints.push(error),
    foreign: async (policy) => (said) => readForeign(said, { roots: [seedRoot()], keys: policy.people.flatMap(({ keys }) => keys) }), ...more,
  });
  const promote = async (release: Digest, environment: string) => {
    const { head } = await world.ledger.timeline(application, environment);
    const predicate = { action: 'promote' as const, application, environment, by: 'ada', nonce: randomBytes(8).toString('hex'), head, configuration: {}, secrets: {}, restores: null, reason: null };
    return moves.promote(signedBy('ada', { predicateType: predicateTypes.request, subject: [subjectOf(application, release)], predicate }));
  };
  return { complaints, promote };
}

const take = (world: World, release: Digest, text: string, about = release) => world.say('sue', { predicateType: predicateTypes.foreign, subject: [subjectOf(application, about)], predicate: { form: 'bundle', bundle: text } });
const failed = { result: 'FAILED', configuration: [] };

test('what a person signed with another tool is weighed as what he signed with ours, and who brought it vouches for nothing', async (t) => {
  const world = await governed(t);
  const release = await world.release('one');
  const at = await take(world, release, bundle('ada', release, predicateTypes.tests, failed));
  const { promote } = opened(world);
  await assert.rejects(promote(release, 'production'), (error: CairnError) => {
    const { rules } = error.context as { rules: { rule: string; nearest: string | null }[] };
    return error.code === 'refused' && rules.some(({ rule, nearest }) => rule === 'tests' && nearest?.includes(`log entry ${at} says FAILED`) === true);
  });
  await take(world, release, bundle('ada', release, predicateTypes.tests, { result: 'PASSED', configuration: [] }));
  assert.equal((await promote(release, 'production')).revision.state, 'confirmed');
});

test('what others signed and does not hold any more is left out with a complaint, and halts nothing', async (t) => {
  const world = await governed(t);
  const [release, other] = [await world.release('one'), await world.release('two')];
  await take(world, release, bundle('ada', release, predicateTypes.tests, failed, true));
  await take(world, release, bundle('ada', release, predicateTypes.tests, { result: 'FINE' }));
  await take(world, release, '{"mediaType":');
  // Found under this release, and about another: the outer statement is the server's word, which counts for nothing.
  await take(world, release, bundle('ada', other, predicateTypes.tests, failed));
  const { complaints, promote } = opened(world);
  const moved = await promote(release, 'production');
  assert.equal(moved.revision.state, 'confirmed');
  const own = [...(await world.ledger.about(release, predicateTypes.provenance)), ...(await world.ledger.about(release, predicateTypes.tests))].map(({ digest }) => digest);
  const verdict = await world.ledger.verdictOf(moved.operation);
  assert.ok(verdict !== undefined);
  assert.equal(parsePredicate('verdict', verdict.statement)['https://cairn.internal/verdict/v1'].evidenceSet, evidenceSetDigest(own), 'nothing but its own was weighed');
  assert.deepEqual(complaints.map(({ code }) => code).toSorted(), ['malformed-document', 'malformed-document', 'verification-failed']);
  assert.deepEqual((await world.ledger.incidents()), []);
});

test('a promotion that had no time to look at all that is attached says so in its verdict, and so does one that could not', async (t) => {
  const world = await governed(t);
  const sources = async (collect: DeliveryOptions['collect'], name: string) => {
    const moved = await opened(world, { collect }).promote(await world.release(name), 'staging');
    const verdict = await world.ledger.verdictOf(moved.operation);
    return verdict === undefined ? undefined : parsePredicate('verdict', verdict.statement)['https://cairn.internal/verdict/v1'].facts?.sources.map(({ name: of, state, detail }) => `${of} ${state} ${detail.slice(0, 30)}`);
  };
  assert.deepEqual(await sources(async () => ({ remaining: 0 }), 'all'), []);
  assert.deepEqual(await sources(async () => ({ remaining: 7 }), 'some'), ['registry unreachable 7 attached statements are not ']);
  assert.deepEqual(await sources(async () => { throw new Error('the disk is gone'); }, 'none'), ['registry unreachable the disk is gone']);
});
