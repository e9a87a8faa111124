import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test, type TestContext } from 'node:test';
import { envelopeDigest, predicateTypes, subjectOf, type PredicateOf } from '#attest';
import { CairnError, canonicalJson, digestOf } from '#core';
import { loadServerKeys } from '#home';
import { parsePolicy, policyDigest } from '#policy';
import { checkCapsule } from '../src/cli/capsule-check.ts';
import type { CapsuleAbout } from '../src/cli/capsule-form.ts';
import { capsuleOf, changed, flipped, numberOf, pathOf, reasonOf, releaseTwo, trustFile, without } from './support/capsule.ts';
import { application, library, sign } from './support/library.ts';

// What a capsule must withstand: whoever hands it over has all of its bytes in hand and can write its manifest anew; and the server that
// signed the verdicts in it may have lied.

const stepsOf = ({ files }: { files: ReadonlyMap<string, Buffer> }) => JSON.parse(files.get('proofs/consistency.json')?.toString('utf8') ?? '[]') as { size: number; hashes: string[] }[];

const cleanups: (() => unknown)[] = [];
after(async () => {
  for (const one of cleanups.toReversed()) await one();
});
/** For all tests of this file: a machine takes seconds to make. */
const context = { after: (work: () => unknown) => void cleanups.push(work) } as unknown as TestContext;
let made: ReturnType<typeof make> | undefined;
const capsules = () => (made ??= make());

async function make() {
  const shop = await library(context);
  const { one, two } = await releaseTwo(shop);
  return { shop, one, two, capsule: await capsuleOf(shop, one), other: await capsuleOf(shop, two) };
}

function payloadOf(bundle: Buffer): string {
  return Buffer.from((JSON.parse(bundle.toString('utf8')) as { dsseEnvelope: { payload: string } }).dsseEnvelope.payload, 'base64').toString('utf8');
}

test('capsule: each file altered is refused, though the manifest was written anew', async () => {
  const { shop, capsule } = await capsules();
  assert.equal(await reasonOf(shop, capsule), undefined);
  for (const [name, bytes] of capsule.files) {
    const altered = changed(capsule, (files) => files.set(name, flipped(bytes)));
    assert.ok(!altered.files.get(name)?.equals(bytes), name);
    const reason = await reasonOf(shop, altered);
    // Only what people read is not what a program can check.
    assert.equal(reason === undefined, name === 'README.md', `${name}: ${String(reason)}`);
  }
});

test('capsule: each file left out is refused, though the manifest was written anew', async () => {
  const { shop, capsule } = await capsules();
  for (const name of capsule.files.keys()) {
    const reason = await reasonOf(shop, changed(capsule, (files) => files.delete(name)));
    assert.equal(reason === undefined, name === 'README.md', `${name}: ${String(reason)}`);
  }
});

test('capsule: a statement that was weighed and is left out with its proof is missed', async () => {
  const { shop, capsule } = await capsules();
  for (const kind of ['provenance', 'sbom', 'tests']) assert.equal(await reasonOf(shop, without(capsule, new RegExp(`evidence/.*-${kind}`))), 'evidence-set', kind);
  
  assert.equal(await reasonOf(shop, without(capsule, /record\/.*-request/)), 'request-mismatch');
  assert.equal(await reasonOf(shop, without(capsule, /verdicts\/.*passed-staging/)), 'request-mismatch', 'it was moved, and no verdict let it in');
  const confirmed = [...capsule.files].filter(([name, bytes]) => name.includes('-outcome') && payloadOf(bytes).includes('"confirmed"') && payloadOf(bytes).includes('"staging"')).map(([name]) => name);
  assert.equal(confirmed.length, 1);
  assert.equal(await reasonOf(shop, without(capsule, new RegExp(confirmed[0] ?? ''))), 'fact-mismatch');
  assert.equal(await reasonOf(shop, without(capsule, /policy\/\d{8}/)), 'unknown-key');
});

test('capsule: a file of another release is refused, in the place of its own and beside it', async () => {
  const { shop, capsule, other, one, two } = await capsules();
  for (const kind of ['evidence/\\d{8}-provenance', 'evidence/\\d{8}-tests', 'record/\\d{8}-request', 'record/\\d{8}-outcome', 'verdicts/\\d{8}-passed-production']) {
    const [own, foreign] = [pathOf(capsule, new RegExp(kind)), pathOf(other, new RegExp(`${kind}`))];
    assert.equal(await reasonOf(shop, changed(capsule, (files) => files.set(own, other.files.get(foreign) ?? Buffer.alloc(0)))), 'stray-file', kind);
    const beside = changed(capsule, (files) => {
      files.set(foreign, other.files.get(foreign) ?? Buffer.alloc(0));
      const proof = `proofs/${numberOf(foreign)}.tlog-proof`;
      files.set(proof, other.files.get(proof) ?? Buffer.alloc(0));
      // Both are against the same newest checkpoint: all of the proofs hold.
      files.set('proofs/consistency.json', Buffer.from(JSON.stringify([...stepsOf(capsule), ...stepsOf(other)])));
    });
    assert.equal(await reasonOf(shop, beside), 'other-release', kind);
  }
  const index = changed(capsule, (files) => files.set(`release/${one.slice(7)}.json`, other.files.get(`release/${two.slice(7)}.json`) ?? Buffer.alloc(0)));
  assert.equal(await reasonOf(shop, index), 'digest-mismatch');
  const stray = changed(capsule, (files) => files.set(`release/${two.slice(7)}.json`, other.files.get(`release/${two.slice(7)}.json`) ?? Buffer.alloc(0)));
  assert.equal(await reasonOf(shop, stray), 'stray-file');
});

test('capsule: what is added is refused', async () => {
  const { shop, capsule } = await capsules();
  for (const name of ['evidence/more.txt', 'trust/keys/admit-qa.pub', 'trust/people/eve.pub', 'policy/v2.json', 'foreign/00000001.sigstore.json', 'proofs/00000099.tlog-proof', 'more.sh', 'verdicts/more.json']) {
    assert.equal(await reasonOf(shop, changed(capsule, (files) => files.set(name, Buffer.from('x')))), 'stray-file', name);
  }
});

test('capsule: under the trust of another log it is refused', async () => {
  const { shop, capsule } = await capsules();
  const { file, roots } = await trustFile(shop);
  const given = { file: { ...file, genesis: { ...file.genesis, since: '2020-01-01T00:00:00Z' } }, roots };
  await assert.rejects(checkCapsule(capsule.about, capsule.files, given), (error) => error instanceof CairnError && error.context['reason'] === 'trust-other');
});

test('capsule: keys for cosign that are not those of trust are refused', async () => {
  const { shop, capsule } = await capsules();
  const swapped = changed(capsule, (files) => files.set('trust/keys/admit-production.pub', capsule.files.get('trust/keys/admit-staging.pub') ?? Buffer.alloc(0)));
  assert.equal(await reasonOf(shop, swapped), 'trust-other');
});

test('capsule: a proof that leads to another root, or is of another entry, is refused', async () => {
  const { shop, capsule } = await capsules();
  const path = pathOf(capsule, /proofs\/\d{8}\.tlog-proof/);
  const text = capsule.files.get(path)?.toString('utf8') ?? '';
  const altered = (change: (lines: string[]) => string[]) => changed(capsule, (files) => files.set(path, Buffer.from(change(text.split('\n')).join('\n'))));
  assert.equal(await reasonOf(shop, altered((lines) => lines.with(2, Buffer.alloc(32, 7).toString('base64')))), 'proof-invalid');
  assert.equal(await reasonOf(shop, altered((lines) => lines.toSpliced(2, 1))), 'proof-invalid');
  assert.equal(await reasonOf(shop, altered((lines) => lines.with(1, 'index 99'))), 'proof-invalid');
  assert.equal(await reasonOf(shop, altered((lines) => lines.with(0, 'c2sp.org/tlog-proof@v2'))), 'capsule-damaged');
});

test('capsule: a checkpoint that the others are not the beginning of is refused', async () => {
  const { shop, capsule } = await capsules();
  const proofs = JSON.parse(capsule.files.get('proofs/consistency.json')?.toString('utf8') ?? '') as { size: number; hashes: string[] }[];
  assert.ok(proofs.length > 3);
  for (const hashes of [[], [Buffer.alloc(32, 7).toString('base64')]]) {
    assert.equal(await reasonOf(shop, changed(capsule, (files) => files.set('proofs/consistency.json', Buffer.from(JSON.stringify(proofs.with(0, { size: proofs[0]?.size ?? 1, hashes })))))), 'log-fork');
  }
  assert.equal(await reasonOf(shop, { files: capsule.files, about: { ...capsule.about, checkpoint: { ...capsule.about.checkpoint, root: '0'.repeat(64) } } }), 'log-fork');
});

test('capsule: a manifest that names another release, application or log is refused', async () => {
  const { shop, capsule, two } = await capsules();
  for (const [more, reason] of [[{ release: two }, 'release-malformed'], [{ application: 'hello' }, 'other-release'], [{ origin: 'log-other' }, 'trust-other'], [{ without: [] }, 'stray-file']] as const) {
    assert.equal(await reasonOf(shop, { files: capsule.files, about: { ...capsule.about, ...(more as Partial<CapsuleAbout>) } }), reason);
  }
});

type Said = PredicateOf<'verdict'>;
type Inner = Said['https://cairn.internal/verdict/v1'];

/** A verdict as a server that lies would sign it, and the reason for which a capsule with it is refused; undefined: it holds. */
interface Lie {
  readonly name: string;
  readonly inner?: (inner: Inner, facts: NonNullable<Inner['facts']>) => object;
  readonly outer?: object;
  /** Name of the server's key that signs it, where that is not the right one. */
  readonly key?: 'admit-staging' | 'record';
  readonly reason: string | undefined;
}

const nobody = { by: 'ada', reason: 'no' };
const lies: readonly Lie[] = [
  { name: 'the same verdict once more holds', inner: () => ({ revision: 9 }), reason: undefined },
  { name: 'a rule that says it passed on other grounds is found out', inner: ({ rules }) => ({ rules: rules.map((rule, at) => (at === 1 ? { ...rule, found: 'built by eve' } : rule)) }), reason: 'verdict-differs' },
  { name: 'a rule that is not said is found out', inner: ({ rules }) => ({ rules: rules.slice(1) }), reason: 'verdict-differs' },
  { name: 'an admission that is called a refusal is found out', outer: { verificationResult: 'FAILED', verifiedLevels: ['FAILED'] }, key: 'record', reason: 'verdict-differs' },
  { name: 'another end of its validity is found out', inner: () => ({ validUntil: '2090-01-01T00:00:00Z' }), reason: 'verdict-differs' },
  { name: 'an environment that it was never confirmed in is found out', inner: (_, facts) => ({ facts: { ...facts, confirmedIn: [...facts.confirmedIn, { environment: 'qa', time: 1 }] } }), reason: 'fact-mismatch' },
  { name: 'another commit is found out', inner: (_, facts) => ({ facts: { ...facts, commit: '0'.repeat(40) } }), reason: 'fact-mismatch' },
  { name: 'other components are found out', inner: (_, facts) => ({ facts: { ...facts, components: [] } }), reason: 'fact-mismatch' },
  { name: 'another time at which the log first heard of it is found out', inner: (_, facts) => ({ facts: { ...facts, since: 1 } }), reason: 'fact-mismatch' },
  { name: 'a revocation that nobody signed is found out', inner: (_, facts) => ({ facts: { ...facts, revoked: nobody } }), reason: 'fact-mismatch' },
  { name: 'a debt that nobody made is found out', inner: (_, facts) => ({ facts: { ...facts, debts: [{ envelope: digestOf('x'), release: facts.release, ...nobody }] } }), reason: 'fact-mismatch' },
  { name: 'a break-glass that nobody signed is found out', inner: (_, facts) => ({ facts: { ...facts, breakGlass: { envelope: digestOf('x'), ...nobody, expires: 1 } } }), reason: 'fact-mismatch' },
  { name: 'a revoked package that nobody signed is found out', inner: (_, facts) => ({ facts: { ...facts, revokedPackages: [{ purl: 'pkg:npm/ms@1.0.0', ...nobody }] } }), reason: 'fact-mismatch' },
  { name: 'a revoked key that nobody signed is found out', inner: (_, facts) => ({ facts: { ...facts, revokedKeys: [{ key: 'AAAA', after: null, ...nobody }] } }), reason: 'fact-mismatch' },
  { name: 'other evidence than there was is found out', inner: () => ({ evidenceSet: digestOf('other') }), reason: 'evidence-set' },
  { name: 'a time before its evidence is found out', outer: { timeVerified: '2020-01-01T00:00:00Z' }, reason: 'verdict-time' },
  { name: 'a time after its place in the log is found out', outer: { timeVerified: '2090-01-01T00:00:00Z' }, reason: 'verdict-time' },
  { name: 'another person than the one who asked is found out', inner: () => ({ by: 'bob' }), reason: 'request-mismatch' },
  { name: 'another content than the one asked for is found out', inner: () => ({ content: digestOf('other') }), reason: 'request-mismatch' },
  { name: 'a rollback that was asked for as a promotion is found out', inner: () => ({ direction: 'rollback' }), reason: 'request-mismatch' },
  { name: "an admission under another environment's key is found out", key: 'admit-staging', reason: 'signer-not-allowed' },
  { name: 'an admission under the record key is found out', key: 'record', reason: 'signer-not-allowed' },
  { name: 'a policy that nobody adopted is found out', outer: { policy: { digest: { sha256: '0'.repeat(64) } } }, reason: 'stale-policy' },
  { name: 'a verdict from before verdicts said what they rest on is verified, and it is said that it is not decided again', inner: () => ({ facts: undefined, by: undefined, evidenceSet: undefined, validUntil: undefined }), reason: undefined },
];

let told: ReturnType<typeof lie> | undefined;
const liars = () => (told ??= lie());

/** A server that lies in each of the ways, once. */
async function lie() {
  const shop = await library(context);
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, packages: { ms: '1.0.0' }, message: 'Start' });
  await shop.promote(release, 'staging');
  await shop.promote(release, 'production');
  const keys = await loadServerKeys(shop.home.paths.keys, ['staging', 'production']);
  const [verdict, request] = await Promise.all([predicateTypes.verdict, predicateTypes.request].map(async (type) => (await shop.ledger.about(release, type)).at(-1) ?? assert.fail('none')));
  assert.ok(verdict !== undefined && request !== undefined);
  const said = verdict.statement.predicate as Said;
  // What happened since the verdict that is the model of the others.
  const now = { ...said['https://cairn.internal/verdict/v1'].facts, confirmedIn: await shop.ledger.confirmedIn(application, release) } as NonNullable<Inner['facts']>;

  /** @returns its place in the log */
  async function tell({ inner = () => ({}), outer = {}, key }: Omit<Lie, 'name' | 'reason'>): Promise<number> {
    const asked = sign({ ...request!.statement, predicate: { ...(request!.statement.predicate as object), nonce: randomBytes(8).toString('hex') } }, shop.signer);
    const honest: Inner = { ...said['https://cairn.internal/verdict/v1'], facts: now, operation: envelopeDigest(asked.envelope) };
    const predicate = { ...said, ...outer, 'https://cairn.internal/verdict/v1': { ...honest, ...inner(honest, now) } };
    const signer = key === undefined ? keys.admit('production') : key === 'record' ? keys.record : keys.admit('staging');
    // Through JSON, where what is undefined is absent.
    const [, logged] = await shop.ledger.commit([asked, sign({ ...verdict!.statement, predicate: JSON.parse(JSON.stringify(predicate)) as unknown }, signer)]);
    return logged?.logIndex ?? 0;
  }
  const places = new Map<Lie, number>();
  for (const one of lies) places.set(one, await tell(one));
  const policy = await shop.ledger.policy();
  const next = parsePolicy(canonicalJson({ ...policy, version: 2, previous: policyDigest(policy) }));
  await shop.ledger.commit([sign({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(next))], predicate: next }, shop.signer)]);
  assert.equal((await shop.ledger.policy()).version, 2);
  const late = await tell({ inner: () => ({ revision: 8 }) });
  const all = await capsuleOf(shop, release);
  const alone = (index: number) => changed(all, (files) => {
    for (const path of [...files.keys()].filter((one) => one.startsWith('verdicts/') && Number(numberOf(one)) > verdict!.logIndex && Number(numberOf(one)) !== index)) {
      for (const gone of [path, `proofs/${numberOf(path)}.tlog-proof`]) files.delete(gone);
    }
  });
  return { shop, alone, places, late };
}

for (const lie of lies) {
  test(`capsule: ${lie.name}`, async () => {
    const { shop, alone, places } = await liars();
    assert.equal(await reasonOf(shop, alone(places.get(lie) ?? 0)), lie.reason);
  });
}

test('capsule: a verdict under an old policy is found out', async () => {
  const { shop, alone, late } = await liars();
  assert.equal(await reasonOf(shop, alone(late)), 'stale-policy');
});

test('capsule: a version of the policy that is left out is missed', async () => {
  const { shop, alone } = await liars();
  assert.equal(await reasonOf(shop, changed(alone(0), (files) => files.delete('policy/v2.json'))), 'stray-file');
});

test('capsule: a verdict from before verdicts said what they rest on is not called decided', async () => {
  const { shop, alone, places } = await liars();
  const old = places.get(lies.at(-1) as Lie) ?? 0;
  const { about, files } = alone(old);
  const { decided } = await checkCapsule(about, files, await trustFile(shop));
  assert.deepEqual(decided.map((one) => [one.logIndex === old, one.decided]), [[false, true], [false, true], [true, false]]);
});
