import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { parseBundle, type Bundle } from '#attest';
import { CairnError, canonicalJson, type Reason } from '#core';
import { generateSigner, spkiOf } from '#sign';
import { verifyBundle } from '#verify';
import { logInMemory, signed } from './fixture.ts';

const [ada, eve] = [generateSigner('ecdsa'), generateSigner('ecdsa')];
const keys = [ada, eve].map((one) => spkiOf(one.publicKey).toString('base64'));
const log = logInMemory();
const options = { log: log.verifier, keys };
const [first, second, third] = (await log.log([signed('one', ada), ada], [signed('two', ada), ada], [signed('three', eve), eve])) as [Bundle, Bundle, Bundle];

const entryOf = ({ verificationMaterial: { tlogEntries: [entry] } }: Bundle) => entry;
const withEntry = (bundle: Bundle, change: Partial<ReturnType<typeof entryOf>>): Bundle => ({ ...bundle, verificationMaterial: { ...bundle.verificationMaterial, tlogEntries: [{ ...entryOf(bundle), ...change }] } });
const withProof = (bundle: Bundle, change: Partial<ReturnType<typeof entryOf>['inclusionProof']>) => withEntry(bundle, { inclusionProof: { ...entryOf(bundle).inclusionProof, ...change } });
const refused = (bundle: Bundle, reason: Reason, to = options) =>
  assert.throws(() => verifyBundle(parseBundle(canonicalJson(bundle)), to), (error) => error instanceof CairnError && error.code === 'verification-failed' && error.context['reason'] === reason);

test('a bundle gives back its statement, who signed it, and its place and time in the log', () => {
  const verified = verifyBundle(parseBundle(canonicalJson(second)), options);
  assert.deepEqual([verified.key, verified.logIndex, verified.time, verified.statement.subject[0]?.name], [keys[0], 1, log.time, 'two']);
});

test('a log entry of another bundle spliced into this one is refused, whole or in part', () => {
  refused(withEntry(first, entryOf(second)), 'entry-mismatch');
  refused(withEntry(first, { canonicalizedBody: entryOf(second).canonicalizedBody }), 'entry-mismatch');
  refused(withEntry(first, { logIndex: '1', inclusionProof: entryOf(second).inclusionProof }), 'proof-invalid');
  refused(withProof(first, { hashes: entryOf(second).inclusionProof.hashes }), 'proof-invalid');
});

test('a signature over another statement, or by another key of the policy, is refused', () => {
  refused({ ...first, dsseEnvelope: { ...first.dsseEnvelope, payload: second.dsseEnvelope.payload } }, 'signature-invalid');
  refused({ ...first, verificationMaterial: { ...first.verificationMaterial, publicKey: { hint: eve.hint } } }, 'signature-invalid');
  // Another's signature of one's own, under one's own key, was never logged.
  refused({ ...first, dsseEnvelope: signed('one', ada) }, 'entry-mismatch');
});

test('a key that nobody vouches for is refused, and so is one of another kind', () => {
  refused(third, 'unknown-key', { ...options, keys: keys.slice(0, 1) });
  refused(third, 'unknown-key', { ...options, keys: [] });
  for (const odd of [generateSigner('ed25519').publicKey, generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey, generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey]) {
    const hint = createHash('sha256').update(spkiOf(odd)).digest('base64');
    refused({ ...third, verificationMaterial: { ...third.verificationMaterial, publicKey: { hint } } }, 'unsupported-key', { ...options, keys: [spkiOf(odd).toString('base64')] });
  }
});

test('an entry of another log is refused, also where that log says it is ours', async () => {
  const other = logInMemory('log-4567.cairn.internal');
  const [elsewhere] = (await other.log([signed('one', ada), ada])) as [Bundle];
  refused(elsewhere, 'log-unknown');
  const [impostor] = (await logInMemory(log.verifier.origin).log([signed('one', ada), ada])) as [Bundle];
  refused(impostor, 'log-unknown');
  refused(withEntry(impostor, { logId: entryOf(first).logId }), 'checkpoint-signature');
});

test('a proof that names another tree, root or place than its checkpoint is refused', () => {
  refused(withProof(first, { treeSize: '4' }), 'proof-invalid');
  refused(withProof(first, { rootHash: Buffer.alloc(32).toString('base64') }), 'proof-invalid');
  refused(withProof(first, { logIndex: '1' }), 'proof-invalid');
  refused(withEntry(withProof(first, { logIndex: '1' }), { logIndex: '1' }), 'proof-invalid');
  refused(withProof(first, { hashes: [] }), 'proof-invalid');
});

test('an unknown bundle version is refused, and so is a field that nobody knows', () => {
  const malformed = { code: 'malformed-document' };
  for (const mediaType of ['application/vnd.dev.sigstore.bundle.v0.4+json', 'application/vnd.dev.sigstore.bundle.v9+json', '']) assert.throws(() => parseBundle(canonicalJson({ ...first, mediaType })), malformed);
  assert.throws(() => parseBundle(canonicalJson({ ...first, extra: 1 })), malformed);
  assert.throws(() => parseBundle(canonicalJson({ ...first, verificationMaterial: { ...first.verificationMaterial, tlogEntries: [entryOf(first), entryOf(first)] } })), malformed);
});
