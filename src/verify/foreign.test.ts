import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeStatement, pae, predicateTypes, signEnvelope, subjectOf, type Bundle } from '#attest';
import { CairnError, canonicalJson, digestOf, sha256, type Reason } from '#core';
import { hashedRekord, trustedRoot } from '#log';
import { generateSigner, spkiOf } from '#sign';
import { parseSigstoreRoot, requirePredicate, requireSubject, verifyForeign, type ForeignOptions } from '#verify';
import { logInMemory, signed } from './fixture.ts';

// Bundles with keys, as cosign writes them. Those with certificates are in keyless.test.ts.

type Json = Record<string, unknown>;
const [ada, eve] = [generateSigner('ecdsa'), generateSigner('ecdsa')];
const spki = (signer: typeof ada) => spkiOf(signer.publicKey).toString('base64');
const logKeys = { log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const log = logInMemory('log-0123.cairn.internal', 1_795_500_000, logKeys);
const text = (value: unknown) => Buffer.from(JSON.stringify(value));
const rootOf = (change: (root: ReturnType<typeof asRoot>) => void = () => {}) => {
  const root = asRoot();
  change(root);
  return parseSigstoreRoot(text(root));
};
const asRoot = () => structuredClone(trustedRoot(log.verifier, '2026-01-01T00:00:00Z')) as { tlogs: { baseUrl: string; publicKey: { validFor: { start?: string; end?: string } }; logId: { keyId: string } }[] };
const options: ForeignOptions = { root: rootOf(), keys: [spki(eve), spki(ada)] };
const [first, second] = (await log.log([signed('one', ada), ada], [signed('two', ada), ada])) as [Bundle, Bundle];

const entryOf = (bundle: Bundle) => bundle.verificationMaterial.tlogEntries[0];
const withEntries = (bundle: Bundle, ...tlogEntries: unknown[]) => ({ ...bundle, verificationMaterial: { ...bundle.verificationMaterial, tlogEntries } });
const refused = (bundle: unknown, reason: Reason, code: 'malformed-document' | 'verification-failed' = 'verification-failed', to = options) =>
  assert.throws(() => verifyForeign(bundle instanceof Uint8Array ? bundle : text(bundle), to), (error) => {
    assert.ok(error instanceof CairnError, String(error));
    assert.deepEqual([error.code, error.context['reason']], [code, reason], error.message);
    return true;
  });

test("another tool's bundle is believed by the root, and its log is known as ours where it is", () => {
  const verified = verifyForeign(text(first), options);
  assert.deepEqual([verified.signer, verified.log, verified.times], [{ kind: 'key', key: spki(ada) }, { logId: entryOf(first).logId.keyId, index: 0, isOurs: false, time: null }, []]);
  const ours = verifyForeign(text(first), { ...options, ours: log.verifier });
  assert.deepEqual([ours.log?.isOurs, ours.log?.time, ours.times], [true, log.time, [log.time]]);
  requireSubject(ours, digestOf('one'));
});

test("a hint that is not ours is no reason to refuse, and a key that is not the caller's is", () => {
  const hinted = { ...first, verificationMaterial: { ...first.verificationMaterial, publicKey: { hint: 'SHA256:theirs' } } };
  assert.equal(verifyForeign(text(hinted), options).signer.kind, 'key');
  refused(hinted, 'unknown-key', 'verification-failed', { ...options, keys: [spki(eve)] });
  refused(first, 'unknown-key', 'verification-failed', { root: options.root });
  refused({ ...first, verificationMaterial: { ...first.verificationMaterial, publicKey: { hint: eve.hint } } }, 'signature-invalid');
  refused(first, 'unsupported-key', 'verification-failed', { ...options, keys: ['bm8ga2V5'] });
});

test('a spliced log entry of another bundle is refused, whole or in part', () => {
  refused(withEntries(first, entryOf(second)), 'entry-mismatch');
  refused(withEntries(first, { ...entryOf(first), canonicalizedBody: entryOf(second).canonicalizedBody }), 'entry-mismatch');
  refused(withEntries(first, { ...entryOf(first), logIndex: '1', inclusionProof: entryOf(second).inclusionProof }), 'proof-invalid');
  refused(withEntries(first, { ...entryOf(first), logIndex: '1' }), 'proof-invalid');
  refused(withEntries(first, { ...entryOf(first), inclusionProof: { ...entryOf(first).inclusionProof, rootHash: entryOf(first).logId.keyId } }), 'proof-invalid');
});

test('a time that nobody promised is refused', () => {
  refused(withEntries(first, { ...entryOf(first), integratedTime: '1795500000' }), 'promise-invalid');
  refused(withEntries(first, { ...entryOf(first), integratedTime: '1795500000', inclusionPromise: { signedEntryTimestamp: 'AAAA' } }), 'promise-invalid');
});

test('an entry under the key of another signer of the same content is refused', async () => {
  const [theirs] = (await logInMemory(log.verifier.origin, log.time, logKeys).log([signed('one', eve), eve])) as [Bundle];
  refused(withEntries(first, entryOf(theirs)), 'entry-mismatch');
  // The very signature, logged as if it were another's: what the library does not look at.
  const [claimed] = (await logInMemory(log.verifier.origin, log.time, logKeys).log([first.dsseEnvelope, eve])) as [Bundle];
  refused(withEntries(first, entryOf(claimed)), 'entry-mismatch');
});

test('a right signature over the wrong predicate, or about another subject, is refused', () => {
  const verified = verifyForeign(text(first), options);
  requirePredicate(verified, predicateTypes.notes);
  assert.throws(() => requirePredicate(verified, 'https://slsa.dev/provenance/v1'), { code: 'verification-failed', context: { reason: 'predicate-mismatch' } });
  assert.throws(() => requireSubject(verified, digestOf('two')), { code: 'verification-failed', context: { reason: 'subject-mismatch' } });
});

test('duplicate JSON keys are refused: in the bundle, and in the statement that was signed', async () => {
  refused(Buffer.from(JSON.stringify(first).replace('"dsseEnvelope":', '"dsseEnvelope":{},"dsseEnvelope":')), 'duplicate-key', 'malformed-document');
  const [a, b] = [digestOf('one').slice(7), digestOf('two').slice(7)];
  const payload = Buffer.from(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"${a}"}}],"subject":[{"digest":{"sha256":"${b}"}}],"predicateType":"x","predicate":{}}`);
  const [twice] = (await log.log([signEnvelope(payload, ada), ada])) as [Bundle];
  refused(twice, 'duplicate-key', 'malformed-document');
});

test('an unknown bundle version, an unknown field and an unknown form of entry are refused', () => {
  for (const mediaType of ['application/vnd.dev.sigstore.bundle.v0.4+json', 'application/vnd.dev.sigstore.bundle+json;version=0.9', 'constructor', '']) refused({ ...first, mediaType }, 'bundle-version', 'malformed-document');
  refused({ ...first, note: 'believe me' }, 'bundle-malformed', 'malformed-document');
  refused(withEntries(first, { ...entryOf(first), note: 'believe me' }), 'bundle-malformed', 'malformed-document');
  for (const kindVersion of [{ kind: 'dsse', version: '0.0.2' }, { kind: 'hashedrekord', version: '0.0.3' }, { kind: 'rpm', version: '0.0.1' }]) refused(withEntries(first, { ...entryOf(first), kindVersion }), 'entry-unsupported');
  refused({ ...first, messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest: entryOf(first).logId.keyId }, signature: 'AAAA' } }, 'bundle-malformed', 'malformed-document');
});

test('one signature twice, and a second one beside it, are refused', () => {
  const [one] = first.dsseEnvelope.signatures;
  for (const signatures of [[one, one], [one, signed('one', eve).signatures[0]], []]) refused({ ...first, dsseEnvelope: { ...first.dsseEnvelope, signatures } }, 'signature-count', 'malformed-document');
});

test('one log counted twice is refused: by one entry twice, by two entries, by one key under two names, and by two keys of one log', async () => {
  refused(withEntries(first, entryOf(first), entryOf(first)), 'log-twice');
  const envelope = signed('thrice', ada);
  const [, once, again] = (await log.log([signed('between', ada), ada], [envelope, ada], [envelope, ada])) as [Bundle, Bundle, Bundle];
  refused(withEntries(once, entryOf(once), entryOf(again)), 'log-twice');
  const alias = logInMemory('log-4567.cairn.internal', log.time, logKeys);
  const [aliased] = (await alias.log([envelope, ada])) as [Bundle];
  const root = rootOf((it) => it.tlogs.push(...(trustedRoot(alias.verifier, '2026-01-01T00:00:00Z') as ReturnType<typeof asRoot>).tlogs));
  refused(withEntries(once, entryOf(once), entryOf(aliased)), 'log-twice', 'verification-failed', { ...options, root });
  const rotated = logInMemory(log.verifier.origin, log.time, { ...logKeys, log: generateSigner('ed25519') });
  const [anew] = (await rotated.log([envelope, ada])) as [Bundle];
  const both = rootOf((it) => it.tlogs.push(...(trustedRoot(rotated.verifier, '2026-01-01T00:00:00Z') as ReturnType<typeof asRoot>).tlogs));
  refused(withEntries(once, entryOf(once), entryOf(anew)), 'log-twice', 'verification-failed', { ...options, root: both });
});

test('a bundle without a log entry, or of a log that the root does not know, is refused', async () => {
  refused(withEntries(first), 'log-entry-missing');
  refused(withEntries(first), 'log-entry-missing', 'verification-failed', { ...options, root: rootOf((root) => root.tlogs.pop()), ours: log.verifier });
  refused(withEntries(first), 'timestamp-missing', 'verification-failed', { ...options, root: rootOf((root) => root.tlogs.pop()) });
  const [elsewhere] = (await logInMemory('log-0123.cairn.internal').log([signed('one', ada), ada])) as [Bundle];
  refused(elsewhere, 'log-unknown');
  refused(withEntries(first, { ...entryOf(first), inclusionProof: undefined }), 'proof-missing');
});

test('a checkpoint by the right key under a part of its name is refused', async () => {
  // The library takes any part of the address for the name.
  const [near] = (await logInMemory('log-0123', log.time, logKeys).log([first.dsseEnvelope, ada])) as [Bundle];
  refused(withEntries(first, { ...entryOf(near), logId: entryOf(first).logId }), 'checkpoint-origin');
});

test('the retired key of a log counts for nothing where no time is proven', () => {
  refused(first, 'log-key-validity', 'verification-failed', { ...options, root: rootOf((root) => (root.tlogs[0]!.publicKey.validFor.end = '2099-01-01T00:00:00Z')) });
});

test('a root with a key that has no start, or with fields that nobody knows, is refused whole', () => {
  const bad = (change: (root: ReturnType<typeof asRoot>) => void, reason: Reason) => assert.throws(() => rootOf(change), { code: 'malformed-document', context: { reason } });
  bad((root) => delete root.tlogs[0]!.publicKey.validFor.start, 'root-malformed');
  bad((root) => Object.assign(root, { note: 'believe me' }), 'root-malformed');
  bad((root) => Object.assign(root.tlogs[0]!.publicKey, { rawBytes: 'bm8ga2V5' }), 'root-malformed');
  bad((root) => Object.assign(root, { mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=9' }), 'root-malformed');
  const twice = JSON.stringify(asRoot()).replace('"tlogs":', '"tlogs":[],"tlogs":');
  assert.throws(() => parseSigstoreRoot(Buffer.from(twice)), { context: { what: 'the trusted root', limit: 1 << 20, reason: 'duplicate-key' } });
});

test('a statement of 130 MB is refused by its size, named, before anything of it is read', () => {
  const bytes = Buffer.alloc(130 << 20, 'A');
  const [began, before] = [performance.now(), process.memoryUsage()];
  assert.throws(() => verifyForeign(bytes, options), { code: 'malformed-document', context: { what: 'the bundle', limit: 32 << 20, reason: 'too-large' } });
  const now = process.memoryUsage();
  assert.ok(performance.now() - began < 100 && now.heapUsed + now.external - before.heapUsed - before.external < 8 << 20);
});

test('a statement of tens of megabytes is read', async () => {
  const [large] = (await log.log([signed('large', ada, predicateTypes.notes, { text: 'x'.repeat(20 << 20) }), ada])) as [Bundle];
  requireSubject(verifyForeign(canonicalJson(large), options), digestOf('large'));
});

test('an envelope that holds no statement, or one about nothing that can be matched, is refused', async () => {
  const of = async (statement: Json, reason: Reason) => {
    const [bundle] = (await log.log([signEnvelope(text(statement), ada), ada])) as [Bundle];
    refused(bundle, reason, 'malformed-document');
  };
  const good = JSON.parse(makeStatement({ predicateType: 'x', subject: [subjectOf('one', digestOf('one'))], predicate: {} }).toString()) as Json;
  await of({ ...good, _type: 'https://in-toto.io/Statement/v9' }, 'statement-malformed');
  await of({ ...good, subject: [] }, 'statement-malformed');
  await of({ ...good, subject: [{ name: 'a', digest: { gitCommit: 'a'.repeat(40) } }] }, 'statement-malformed');
  await of({ ...good, subject: [{ name: 'a', digest: { sha256: 'A'.repeat(64) } }] }, 'statement-malformed');
  const sig = ada.sign(pae('application/json', text(good))).toString('base64');
  const [other] = (await log.log([{ payload: text(good).toString('base64'), payloadType: 'application/json', signatures: [{ sig }] }, ada])) as [Bundle];
  refused({ ...other, dsseEnvelope: { ...other.dsseEnvelope, payloadType: 'application/json' } }, 'payload-type', 'malformed-document');
});

test('a bare file is believed by its digest, under an ECDSA P-256 key', async () => {
  const artifact = Buffer.from('an artifact\n');
  const digest = sha256(artifact);
  const of = async (signature: Buffer, signer: typeof ada) => {
    const [entry] = await log.logBodies(hashedRekord(digest.toString('base64'), signature.toString('base64'), { publicKey: spki(signer) }));
    return { mediaType: first.mediaType, verificationMaterial: { publicKey: { hint: signer.hint }, tlogEntries: [entry] }, messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest: digest.toString('base64') }, signature: signature.toString('base64') } };
  };
  const good = await of(ada.sign(artifact), ada);
  const verified = verifyForeign(text(good), options);
  assert.deepEqual(verified.content, { kind: 'signature', digest: digestOf(artifact) });
  refused({ ...good, messageSignature: { ...good.messageSignature, messageDigest: { algorithm: 'SHA2_256', digest: sha256('another').toString('base64') } } }, 'signature-invalid');
  refused({ ...good, messageSignature: { ...good.messageSignature, messageDigest: { algorithm: 'SHA2_512', digest: digest.toString('base64') } } }, 'bundle-malformed', 'malformed-document');
  const other = generateSigner('ed25519');
  refused(await of(other.sign(artifact), other), 'unsupported-key', 'verification-failed', { ...options, keys: [spki(other)] });
});
