import assert from 'node:assert/strict';
import { generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { bundleManifest, bundleMediaType, pae, predicateTypes } from '#attest';
import { CairnError, canonicalJson, digestOf, noFaults, type Digest } from '#core';
import { createHome, createPerson, genesisPolicy, loadPerson, loadServerKeys, personPublicKey, allRoles } from '#home';
import { openLedger } from '#ledger';
import { emptyBytes, fileRepositories, fileStore, mediaTypes } from '#oci';
import { decide, parsePolicy, policyDigest, type Evidence } from '#policy';
import { weighForeign } from '#release';
import { makeStatement, signEnvelope, subjectOf, type Statement } from '#attest';
import { keyHint, spkiOf, type Signer } from '#sign';
import { seedRoot, type ForeignForm } from '#verify';
import { collector } from './collect.ts';

const passphrase = 'stone';
const clock = { now: () => new Date(), elapsed: () => performance.now() };
const bundleText = (statement: object, key: { sign(bytes: Buffer): Buffer }, hint: string) => {
  // As cosign writes it: not canonical, with a key's hint, and without a log where its signing configuration names none.
  const payload = Buffer.from(JSON.stringify(statement, null, 1));
  const sig = key.sign(pae('application/vnd.in-toto+json', payload)).toString('base64');
  return JSON.stringify({
    mediaType: bundleMediaType, verificationMaterial: { publicKey: { hint } },
    dsseEnvelope: { payload: payload.toString('base64'), payloadType: 'application/vnd.in-toto+json', signatures: [{ sig }] },
  });
};
const signedBy = (about: Digest, predicateType = 'https://sigstore.dev/cosign/sign/v1', predicate: unknown = {}) => ({ _type: 'https://in-toto.io/Statement/v1', subject: [{ name: 'x', digest: { sha256: about.slice(7) } }], predicateType, predicate });

async function open(t: TestContext) {
  const folder = await mkdtemp('/tmp/cairn-c-');
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { paths, settings } = await createHome(join(folder, 'home'), { host: '127.0.0.1', port: 0, environments: [{ name: 'staging', port: 1 }], since: '2026-01-01T00:00:00Z' });
  await createPerson(paths.people, 'ada', passphrase);
  const ada = await loadPerson(paths.people, 'ada', passphrase);
  const keys = await loadServerKeys(paths.keys, ['staging']);
  const ledger = await openLedger({ path: paths.ledger, keys: { origin: settings.origin, log: keys.log, time: keys.time }, record: keys.record, clock, faults: noFaults, admit: [] });
  t.after(() => ledger.close());
  const policy = genesisPolicy({ people: [{ name: 'ada', roles: [...allRoles], keys: [await personPublicKey(paths.people, 'ada')] }], environments: ['staging'], tests: true, soakMinutes: 0 });
  const statement: Statement = { predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy };
  await ledger.commit([{ envelope: signEnvelope(makeStatement(statement), ada), key: spkiOf(ada.publicKey).toString('base64') }]);
  const store = fileStore(join(folder, 'content'));
  const repositories = fileRepositories(join(folder, 'repositories'), store);
  const manifest = canonicalJson({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests: [] });
  await repositories.putManifest('shop', digestOf(manifest), manifest, mediaTypes.imageIndex);
  const about = digestOf(manifest);
  const log = { origin: settings.origin, log: keys.log.publicKey, time: keys.time.publicKey };
  const make = () => collector({ ledger, repositories, store, record: keys.record, log: () => log, roots: async () => [seedRoot()], clock, folder: join(folder, 'seen') });
  await store.write(emptyBytes);
  const attach = async (text: string, salt: string) => {
    const blob = await store.write(Buffer.from(text));
    const bytes = bundleManifest({ mediaType: mediaTypes.imageIndex, digest: about, size: manifest.byteLength }, blob, 'x', salt);
    return { bytes, blob };
  };
  return { folder, ledger, store, repositories, about, ada, make, attach, size: manifest.byteLength };
}
const secondKey = async (folder: string, name = 'second') => {
  await createPerson(join(folder, 'home/people'), name, passphrase);
  return loadPerson(join(folder, 'home/people'), name, passphrase);
};
const noFacts: Omit<Evidence, 'release' | 'application' | 'statements'> = {
  commit: '0'.repeat(40), source: null, changes: null, components: [], since: null, confirmedIn: [], quarantined: false, revoked: null, revokedKeys: [], revokedPackages: [], breakGlass: null, debts: [], witnessed: null, sources: [], schema: null,
};
const hintOf = (signer: Signer) => keyHint(signer.publicKey);
const refused = (code: string, reason: string) => (error: CairnError) => error.code === code && error.context['reason'] === reason;

// A hundred thousand take a while to write: the long form is test/whole/referrers.test.ts.
const count = Number(process.env['CAIRN_REFERRERS'] ?? 1_000);
const [budgetMs, mostLooks] = count > 10_000 ? [20_000, 30] : [100, 40];

test(`${count.toLocaleString('en')} referrers of which one is valid: it is found, whatever its place, in bounded time and memory, and nobody pays for the others twice`, { timeout: 300_000 }, async (t) => {
  const { folder, repositories, about, ada, make, attach } = await open(t);
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const theirs = { sign: (bytes: Buffer) => signBytes('sha256', bytes, stranger.privateKey) };
  // Half claim ada's key with a signature that is not hers, half are a stranger's own. Written as the registry keeps them, without a sync each.
  const forged = await attach(bundleText(signedBy(about), theirs, hintOf(ada)), 'forged');
  const other = await attach(bundleText(signedBy(about), theirs, keyHint(stranger.publicKey)), 'other');
  const hex = about.slice(7);
  const [manifests, referrers] = [join(folder, 'repositories/shop/_manifests'), join(folder, 'repositories/shop/_referrers', hex)];
  await mkdir(referrers, { recursive: true });
  const flood = async (many: number) => {
    for (let at = 0; at < many; at += 500) {
      await Promise.all(Array.from({ length: Math.min(500, many - at) }, async (_, more) => {
        const { blob } = (at + more) % 2 === 0 ? forged : other;
        const bytes = bundleManifest({ mediaType: mediaTypes.imageIndex, digest: about, size: 1 }, blob, 'x', `2026-01-01T00:00:00Z ${at + more}`);
        const digest = digestOf(bytes).slice(7);
        const folderOf = join(folder, 'content/blobs/sha256', digest.slice(0, 2));
        await mkdir(folderOf, { recursive: true });
        await writeFile(join(folderOf, digest), bytes);
        await writeFile(join(manifests, digest), mediaTypes.imageManifest);
        await writeFile(join(referrers, digest), '');
      }));
    }
  };
  await flood(count - 1);
  const { bytes } = await attach(bundleText(signedBy(about), ada, hintOf(ada)), '2026-01-01T00:00:00Z');
  await repositories.putManifest('shop', digestOf(bytes), bytes, mediaTypes.imageManifest);
  // The oldest of all: it is looked at last.
  await utimes(join(referrers, digestOf(bytes).slice(7)), 1, 1);

  const parts = new Set([about]);
  const before = process.memoryUsage().rss;
  let [looks, looked, logged] = [0, 0, 0];
  const start = performance.now();
  for (;;) {
    const one = await make().collect('shop', parts, budgetMs);
    [looks, looked, logged] = [looks + 1, looked + one.looked, logged + one.logged.length];
    if (one.remaining === 0) break;
    assert.ok(one.looked > 0, 'every look gets on');
  }
  const took = performance.now() - start;
  t.diagnostic(`${looked} in ${looks} looks, ${Math.round(took)} ms, ${Math.round((process.memoryUsage().rss - before) / 1e6)} MB more`);
  assert.equal(logged, 1);
  assert.equal(looked, count);
  assert.ok(process.memoryUsage().rss - before < 400e6);
  assert.ok(looks <= mostLooks, `${looks} looks`);

  const again = performance.now();
  assert.deepEqual(await make().collect('shop', parts), { logged: [], looked: 0, refused: 0, remaining: 0 });
  assert.ok(performance.now() - again < 3_000 + took / 10, 'a look at what is known is short');
});

test('what a signer of the policy attached is taken in once, in whatever wrapping, and a stranger for nothing', async (t) => {
  const { repositories, store, about, ada, make, attach, ledger } = await open(t);
  const put = async (text: string, salt: string) => {
    const { bytes } = await attach(text, salt);
    await repositories.putManifest('shop', digestOf(bytes), bytes, mediaTypes.imageManifest);
  };
  const text = bundleText(signedBy(about), ada, hintOf(ada));
  await put(text, 'once');
  await put(text, 'and again');
  await put(`${text} `, 'with a space behind it');
  await put('{"mediaType":', 'cut off');
  await put(bundleText(signedBy(digestOf('another')), ada, hintOf(ada)), 'about something else');
  await put(bundleText(signedBy(about, predicateTypes.request), ada, hintOf(ada)), 'a request, which Cairn alone takes');
  await put(bundleText(signedBy(about, predicateTypes.tests, { result: 'FINE' }), ada, hintOf(ada)), 'tests without their form');

  // The old forms: a signature and an attestation under tags.
  const payload = Buffer.from(JSON.stringify({ critical: { identity: { 'docker-reference': 'shop' }, image: { 'docker-manifest-digest': about }, type: 'cosign container image signature' }, optional: null }));
  const legacy = async (suffix: string, mediaType: string, blob: Buffer, annotations: Record<string, string>) => {
    const { digest, size } = await store.write(blob);
    const config = await store.write(Buffer.from('{}'));
    const manifest = canonicalJson({ schemaVersion: 2, mediaType: mediaTypes.imageManifest, config: { mediaType: mediaTypes.imageConfig, ...config }, layers: [{ mediaType, digest, size, annotations }] });
    await repositories.putManifest('shop', `${about.replace(':', '-')}.${suffix}`, manifest, mediaTypes.imageManifest);
  };
  await legacy('sig', 'application/vnd.dev.cosign.simplesigning.v1+json', payload, { 'dev.cosignproject.cosign/signature': ada.sign(payload).toString('base64') });
  const tests = Buffer.from(JSON.stringify({ ...signedBy(about, predicateTypes.tests, { result: 'PASSED', configuration: [] }), _type: 'https://in-toto.io/Statement/v0.1' }));
  const envelope = Buffer.from(JSON.stringify({ payloadType: 'application/vnd.in-toto+json', payload: tests.toString('base64'), signatures: [{ keyid: '', sig: ada.sign(pae('application/vnd.in-toto+json', tests)).toString('base64') }] }));
  await legacy('att', 'application/vnd.dsse.envelope.v1+json', envelope, { 'dev.cosignproject.cosign/signature': '', predicateType: predicateTypes.tests });

  const { logged, refused: strangers } = await make().collect('shop', new Set([about]));
  assert.equal(logged.length, 3);
  assert.equal(strangers, 4);
  const forms = (await ledger.about(about, predicateTypes.foreign)).map(({ statement }) => (statement.predicate as ForeignForm).form);
  assert.deepEqual(forms.toSorted(), ['bundle', 'dsse', 'simplesigning']);
  assert.deepEqual((await make().collect('shop', new Set([about]))).logged, []);
});

test('a 130 MB statement in the registry is not read, and what is beside it counts', async (t) => {
  const { repositories, about, ada, make, attach, ledger } = await open(t);
  const put = async (text: string, salt: string) => {
    const { bytes } = await attach(text, salt);
    await repositories.putManifest('shop', digestOf(bytes), bytes, mediaTypes.imageManifest);
  };
  await put('{'.padEnd(130 << 20), 'large');
  await put(bundleText(signedBy(about), ada, hintOf(ada)), 'small');
  const before = process.memoryUsage().rss;
  const { logged, refused: strangers } = await make().collect('shop', new Set([about]));
  assert.deepEqual([logged.length, strangers], [1, 1]);
  assert.ok(process.memoryUsage().rss - before < 60e6);
  assert.equal((await ledger.about(about, predicateTypes.foreign)).length, 1);
});

test('one person with two keys via cosign is one person, and so is one signature in two wrappings', async (t) => {
  const { about, ada, make, folder, ledger } = await open(t);
  const other = await secondKey(folder);
  const key = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');
  const people = [{ name: 'ada', roles: ['security'], keys: [key(ada), key(other)] }, { name: 'bob', roles: ['release'], keys: [key(await secondKey(folder, 'bob'))] }];
  const policy = parsePolicy(canonicalJson({
    kind: 'policy', version: 1, people, environments: [{ name: 'staging', promote: 'release', rollback: 'release', rules: [{ kind: 'approvals', role: 'security', threshold: 2, blocksRollback: false }] }], quorum: [{ role: 'security', threshold: 1 }],
  }));
  const approval = { application: 'shop', environment: 'staging', by: 'ada', expires: '2036-01-01T00:00:00Z', reason: null };
  const read = await make().reader(policy);
  const weighed = [ada, other, ada].map((signer, at) => {
    const said: ForeignForm = { form: 'bundle', bundle: bundleText(signedBy(about, predicateTypes.approval, approval), signer, hintOf(signer)) };
    return weighForeign({ digest: digestOf(`${at}`), logIndex: at, statement: { predicateType: predicateTypes.foreign, subject: [subjectOf('shop', about)], predicate: said } }, 1_700_000_000, read);
  });
  const evidence = { ...noFacts, release: about, application: 'shop', statements: weighed };
  const { passed, rules } = decide(policy, evidence, { environment: 'staging', direction: 'promote', by: 'bob', time: 1_700_000_000 });
  assert.equal(passed, false);
  assert.match(rules.find(({ rule }) => rule === 'approvals')?.found ?? '', /security: 1 of 2 people \(ada\)/);
  assert.equal((await ledger.about(about, predicateTypes.foreign)).length, 0);
});

test('a bundle that somebody brings is held to the policy, and refused with the reason', async (t) => {
  const { about, ada, make } = await open(t);
  const parts = new Set([about]);
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const theirs = { sign: (bytes: Buffer) => signBytes('sha256', bytes, stranger.privateKey) };
  const bring = (text: string) => make().add('shop', parts, { form: 'bundle', bundle: text });
  const good = bundleText(signedBy(about), ada, hintOf(ada));
  const first = await bring(good);
  assert.equal((await bring(good)).logIndex, first.logIndex, 'one signature is taken once');
  await assert.rejects(bring(bundleText(signedBy(about), theirs, keyHint(stranger.publicKey))), refused('verification-failed', 'unknown-key'));
  await assert.rejects(bring(bundleText(signedBy(about), theirs, hintOf(ada))), refused('verification-failed', 'unknown-key'));
  await assert.rejects(bring(bundleText(signedBy(digestOf('another')), ada, hintOf(ada))), refused('verification-failed', 'subject-mismatch'));
  await assert.rejects(bring(bundleText(signedBy(about, predicateTypes.verdict), ada, hintOf(ada))), refused('verification-failed', 'predicate-mismatch'));
  // Broken glass leaves a debt that is folded from our own statements: elsewhere it would leave none.
  const glass = { application: 'shop', environment: 'staging', by: 'ada', nonce: '12345678', reason: 'now', expires: '2036-01-01T00:00:00Z' };
  await assert.rejects(bring(bundleText(signedBy(about, predicateTypes.breakGlass, glass), ada, hintOf(ada))), refused('verification-failed', 'predicate-mismatch'));
  await assert.rejects(bring(good.replace('"dsseEnvelope"', '"dsseEnvelope":{},"dsseEnvelope"')), refused('malformed-document', 'duplicate-key'));
  await assert.rejects(bring(good.replace('v0.3', 'v0.9')), refused('malformed-document', 'bundle-version'));
  await assert.rejects(make().add('shop', parts, { form: 'simplesigning', payload: 'e30=', signature: 'AAAA', certificate: null }), refused('verification-failed', 'unknown-key'));
  await assert.rejects(make().add('shop', parts, { form: 'simplesigning', payload: 'e30=', signature: 'AAAA', certificate: 'PEM' }), refused('verification-failed', 'entry-unsupported'));
});
