import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { envelopeDigest, predicateTypes, subjectOf, type PredicateOf } from '#attest';
import { CairnError, canonicalJson, digestOf, type Digest } from '#core';
import { loadServerKeys } from '#home';
import { parsePolicy, policyDigest } from '#policy';
import { parseTrustFile, seedRoot } from '#verify';
import { readCapsule } from '../../src/cli/capsule-archive.ts';
import { checkCapsule } from '../../src/cli/capsule-check.ts';
import type { CapsuleAbout } from '../../src/cli/capsule-form.ts';
import { application, library, sign, type Library } from '../support/library.ts';
import { node, runCairn } from '../support/machine.ts';

// What a capsule must withstand: whoever hands it over has all of its bytes in hand and can write its manifest anew.

interface Capsule {
  readonly about: CapsuleAbout;
  readonly files: ReadonlyMap<string, Buffer>;
}

async function capsuleOf(shop: Library, reference: string): Promise<Capsule> {
  const path = join(shop.folder, `${reference.replaceAll(/\W/g, '')}.capsule.tar`);
  await rm(path, { force: true });
  await shop.cairn('audit', '--capsule', path, reference);
  return readCapsule(path);
}

async function trustFile(shop: Library) {
  return { file: parseTrustFile(await readFile(join(shop.repository, 'cairn.trust.json'))), roots: [seedRoot()] };
}

/** The reason that it is refused for; undefined where it holds. */
async function reasonOf(shop: Library, { about, files }: Capsule): Promise<unknown> {
  try {
    await checkCapsule(about, files, await trustFile(shop));
    return undefined;
  } catch (error) {
    assert.ok(error instanceof CairnError, String(error));
    assert.ok(['verification-failed', 'malformed-document', 'capsule-damaged', 'trust-changed'].includes(error.code), `${error.code}: ${error.message}`);
    return error.context['reason'] ?? error.code;
  }
}

function changed(capsule: Capsule, change: (files: Map<string, Buffer>) => void): Capsule {
  const files = new Map(capsule.files);
  change(files);
  return { about: capsule.about, files };
}

function pathOf({ files }: Capsule, form: RegExp): string {
  const found = [...files.keys()].find((path) => form.test(path));
  assert.ok(found !== undefined, `no file ${form} in ${[...files.keys()].join(' ')}`);
  return found;
}

const numberOf = (path: string) => /\d{8}/.exec(path)?.[0] ?? '';

/** Takes a statement out together with its proof, as one who hides it would. */
function without(capsule: Capsule, form: RegExp): Capsule {
  const path = pathOf(capsule, form);
  return changed(capsule, (files) => {
    files.delete(path);
    files.delete(`proofs/${numberOf(path)}.tlog-proof`);
  });
}

/** One letter or digit in the middle is another one. */
function flipped(bytes: Buffer): Buffer {
  const text = bytes.toString('utf8');
  const at = text.slice(text.length / 2).search(/[A-Za-z0-9]/) + Math.floor(text.length / 2);
  return Buffer.from(`${text.slice(0, at)}${text[at] === '7' ? '8' : '7'}${text.slice(at + 1)}`);
}

async function releaseTwo(shop: Library): Promise<{ one: Digest; two: Digest }> {
  const one = await shop.release({ files: { 'server.js': 'one\n' }, packages: { ms: '1.0.0' }, message: 'Start' });
  const two = await shop.release({ files: { 'server.js': 'two\n' }, packages: { ms: '1.0.0' }, message: 'Go on' });
  await assert.rejects(shop.promote(one.release, 'production'));
  for (const { release } of [one, two]) for (const place of ['staging', 'production'] as const) await shop.promote(release, place);
  await shop.rollback('production');
  return { one: one.release, two: two.release };
}

test('a capsule is decided again on a machine without home, server and network, and refused there for whatever was done to it', async (t) => {
  const shop = await library(t);
  const { one, two } = await releaseTwo(shop);
  const capsule = await capsuleOf(shop, one);
  const other = await capsuleOf(shop, two);
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

  await t.test('each file altered is refused, though the manifest was written anew', async () => {
    assert.equal(await reasonOf(shop, capsule), undefined);
    for (const [name, bytes] of capsule.files) {
      const altered = changed(capsule, (files) => files.set(name, flipped(bytes)));
      assert.ok(!altered.files.get(name)?.equals(bytes), name);
      const reason = await reasonOf(shop, altered);
      // Only what people read is not what a program can check.
      assert.equal(reason === undefined, name === 'README.md', `${name}: ${String(reason)}`);
    }
  });

  await t.test('each file left out is refused, though the manifest was written anew', async () => {
    for (const name of capsule.files.keys()) {
      const reason = await reasonOf(shop, changed(capsule, (files) => files.delete(name)));
      assert.equal(reason === undefined, name === 'README.md', `${name}: ${String(reason)}`);
    }
  });

  await t.test('a statement that was weighed and is left out with its proof is missed', async () => {
    for (const kind of ['provenance', 'sbom', 'tests']) assert.equal(await reasonOf(shop, without(capsule, new RegExp(`evidence/.*-${kind}`))), 'evidence-set', kind);
    
    assert.equal(await reasonOf(shop, without(capsule, /record\/.*-request/)), 'request-mismatch');
    assert.equal(await reasonOf(shop, without(capsule, /verdicts\/.*passed-staging/)), 'request-mismatch', 'it was moved, and no verdict let it in');
    const confirmed = [...capsule.files].filter(([name, bytes]) => name.includes('-outcome') && payloadOf(bytes).includes('"confirmed"') && payloadOf(bytes).includes('"staging"')).map(([name]) => name);
    assert.equal(confirmed.length, 1);
    assert.equal(await reasonOf(shop, without(capsule, new RegExp(confirmed[0] ?? ''))), 'fact-mismatch');
    assert.equal(await reasonOf(shop, without(capsule, /policy\/\d{8}/)), 'unknown-key');
  });

  await t.test('a file of another release is refused, in the place of its own and beside it', async () => {
    for (const kind of ['evidence/\\d{8}-provenance', 'evidence/\\d{8}-tests', 'record/\\d{8}-request', 'record/\\d{8}-outcome', 'verdicts/\\d{8}-passed-production']) {
      const [own, foreign] = [pathOf(capsule, new RegExp(kind)), pathOf(other, new RegExp(`${kind}`))];
      assert.equal(await reasonOf(shop, changed(capsule, (files) => files.set(own, other.files.get(foreign) ?? Buffer.alloc(0)))), 'stray-file', kind);
      const beside = changed(capsule, (files) => {
        files.set(foreign, other.files.get(foreign) ?? Buffer.alloc(0));
        const proof = `proofs/${numberOf(foreign)}.tlog-proof`;
        files.set(proof, Buffer.from((other.files.get(proof) ?? Buffer.alloc(0)).toString('utf8')));
      });
      assert.ok(['other-release', 'proof-invalid', 'log-forked'].includes(String(await reasonOf(shop, beside))), `${kind}: ${String(await reasonOf(shop, beside))}`);
    }
    const index = changed(capsule, (files) => files.set(`release/${one.slice(7)}.json`, other.files.get(`release/${two.slice(7)}.json`) ?? Buffer.alloc(0)));
    assert.equal(await reasonOf(shop, index), 'digest-mismatch');
    const stray = changed(capsule, (files) => files.set(`release/${two.slice(7)}.json`, other.files.get(`release/${two.slice(7)}.json`) ?? Buffer.alloc(0)));
    assert.equal(await reasonOf(shop, stray), 'stray-file');
  });

  await t.test('what is added is refused', async () => {
    for (const name of ['evidence/more.txt', 'trust/keys/admit-qa.pub', 'trust/people/eve.pub', 'policy/v2.json', 'foreign/00000001.sigstore.json', 'proofs/00000099.tlog-proof', 'more.sh', 'verdicts/more.json']) {
      assert.equal(await reasonOf(shop, changed(capsule, (files) => files.set(name, Buffer.from('x')))), 'stray-file', name);
    }
  });

  await t.test('keys for cosign that are not those of trust are refused', async () => {
    const swapped = changed(capsule, (files) => files.set('trust/keys/admit-production.pub', capsule.files.get('trust/keys/admit-staging.pub') ?? Buffer.alloc(0)));
    assert.equal(await reasonOf(shop, swapped), 'trust-other');
  });

  await t.test('a checkpoint that the others are not the beginning of is refused', async () => {
    const proofs = JSON.parse(capsule.files.get('proofs/consistency.json')?.toString('utf8') ?? '') as { size: number; hashes: string[] }[];
    assert.ok(proofs.length > 3);
    for (const hashes of [[], [Buffer.alloc(32, 7).toString('base64')]]) {
      assert.equal(await reasonOf(shop, changed(capsule, (files) => files.set('proofs/consistency.json', Buffer.from(JSON.stringify(proofs.with(0, { size: proofs[0]?.size ?? 1, hashes })))))), 'log-forked');
    }
    assert.equal(await reasonOf(shop, { files: capsule.files, about: { ...capsule.about, checkpoint: { ...capsule.about.checkpoint, root: '0'.repeat(64) } } }), 'log-forked');
  });

  await t.test('a manifest that names another release, application or log is refused', async () => {
    for (const [more, reason] of [[{ release: two }, 'digest-mismatch'], [{ application: 'hello' }, 'other-release'], [{ origin: 'log-other' }, 'trust-other'], [{ without: [] }, 'stray-file']] as const) {
      assert.equal(await reasonOf(shop, { files: capsule.files, about: { ...capsule.about, ...(more as Partial<CapsuleAbout>) } }), reason);
    }
  });
});

function payloadOf(bundle: Buffer): string {
  return Buffer.from((JSON.parse(bundle.toString('utf8')) as { dsseEnvelope: { payload: string } }).dsseEnvelope.payload, 'base64').toString('utf8');
}

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

test('a server that signs verdicts which do not follow is found out from the capsule', async (t) => {
  const shop = await library(t);
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
  const told = new Map<Lie, number>();
  for (const lie of lies) told.set(lie, await tell(lie));
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
  for (const [lie, index] of told) await t.test(lie.name, async () => assert.equal(await reasonOf(shop, alone(index)), lie.reason));
  await t.test('a verdict under an old policy is found out', async () => assert.equal(await reasonOf(shop, alone(late)), 'stale-policy'));
  await t.test('a version of the policy that is left out is missed', async () => {
    const hidden = changed(alone(0), (files) => files.delete('policy/v2.json'));
    assert.equal(await reasonOf(shop, hidden), 'stray-file');
  });
  await t.test('a verdict from before is not called decided', async () => {
    const old = [...told].at(-1)?.[1] ?? 0;
    const { about, files } = alone(old);
    const { decided } = await checkCapsule(about, files, await trustFile(shop));
    assert.deepEqual(decided.map((one) => [one.logIndex === old, one.decided]), [[false, true], [false, true], [true, false]]);
  });
});
