import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pae, type Envelope } from '#attest';
import { CairnError, digestOf, sha256, type Reason } from '#core';
import { hashedRekord } from '#log';
import { parseSigstoreRoot, readForeign, requireIdentity, requireSubject, seedRoot, verifyForeign, verifyForeignByAny } from '#verify';
import { logInMemory } from './fixture.ts';

// Two bundles that Fulcio's, a timestamp authority's and our own servers made (test/peers/keyless.test.ts makes such anew), and what
// an attacker can do with them.

type Json = { [name: string]: Json } & Json[] & string;
const read = () => JSON.parse(readFileSync(join(import.meta.dirname, 'fixture-keyless.json'), 'utf8')) as { issuer: string; root: Json; one: Json; two: Json };
const { issuer } = read();
const subject = 'https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main';
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

interface Parts { root: Json; one: Json; two: Json; material: Json; other: Json }

/** The first bundle against the root, after `change`. */
function verifyAfter(change: (parts: Parts) => void = () => {}) {
  const { root, one, two } = read();
  change({ root, one, two, material: one['verificationMaterial'] as Json, other: two['verificationMaterial'] as Json });
  return verifyForeign(bytes(one), { root: parseSigstoreRoot(bytes(root)) });
}

function refused(change: (parts: Parts) => void, reason: Reason): void {
  assert.throws(() => verifyAfter(change), (error) => {
    assert.ok(error instanceof CairnError, String(error));
    assert.equal(error.context['reason'], reason, error.message);
    return true;
  });
}

const stamp = verifyAfter().times[0] ?? 0;
const at = (seconds: number) => new Date((stamp + seconds) * 1000).toISOString() as Json;
const logOf = (root: Json) => (root['tlogs'] as Json)[0] as Json;
const validity = (one: Json | undefined) => ((one?.['publicKey'] as Json | undefined) ?? (one as Json))['validFor'] as Json;

test('a keyless bundle is believed for exactly its identity, its issuer and its subject', () => {
  const verified = verifyAfter();
  requireIdentity(verified, { issuer, subject });
  requireSubject(verified, digestOf('one'));
  const bad = (call: () => void, reason: Reason) => assert.throws(call, { code: 'verification-failed', context: { reason } });
  for (const near of [`${subject}x`, subject.slice(0, -1), subject.toUpperCase(), '.*', '']) bad(() => requireIdentity(verified, { issuer, subject: near }), 'identity-mismatch');
  for (const near of [`${issuer}/`, issuer.slice(0, -1), '.*']) bad(() => requireIdentity(verified, { issuer: near, subject }), 'issuer-mismatch');
  bad(() => requireSubject(verified, digestOf('two')), 'subject-mismatch');
});

test('the key of a log outside its validity by one second is refused, on both sides, and both ends count', () => {
  refused(({ root }) => (validity(logOf(root))['end'] = at(-1)), 'log-key-validity');
  refused(({ root }) => (validity(logOf(root))['start'] = at(1)), 'log-key-validity');
  verifyAfter(({ root }) => Object.assign(validity(logOf(root)), { start: at(0), end: at(0) }));
});

test('an authority outside its validity by one second is refused, on both sides, and both ends count', () => {
  for (const [name, reason] of [['certificateAuthorities', 'certificate-untrusted'], ['timestampAuthorities', 'timestamp-invalid']] as const) {
    refused(({ root }) => (validity(root[name]?.[0])['end'] = at(-1)), reason);
    refused(({ root }) => (validity(root[name]?.[0])['start'] = at(1)), reason);
    verifyAfter(({ root }) => Object.assign(validity(root[name]?.[0]), { start: at(0), end: at(0) }));
  }
});

test('what another bundle has, spliced into this one, is refused: signature, certificate, timestamp, entry', () => {
  refused(({ one, two }) => (one['dsseEnvelope'] = two['dsseEnvelope'] as Json), 'signature-invalid');
  refused(({ material, other }) => (material['certificate'] = other['certificate'] as Json), 'signature-invalid');
  refused(({ material, other }) => (material['timestampVerificationData'] = other['timestampVerificationData'] as Json), 'timestamp-invalid');
  refused(({ material, other }) => (material['tlogEntries'] = other['tlogEntries'] as Json), 'entry-mismatch');
  // Signature and certificate of the other: good by themselves, but never logged here.
  refused(({ one, two, material, other }) => Object.assign(one, { dsseEnvelope: two['dsseEnvelope'], verificationMaterial: Object.assign(other, { tlogEntries: material['tlogEntries'] }) }), 'entry-mismatch');
});

test('a certificate without a proven time is refused, and a timestamp that somebody changed is none', () => {
  refused(({ material }) => delete (material as { timestampVerificationData?: Json }).timestampVerificationData, 'timestamp-missing');
  const stamps = (material: Json) => (material['timestampVerificationData'] as Json)['rfc3161Timestamps'] as Json;
  refused(({ material }) => {
    // The year of genTime, a GeneralizedTime: 2026 to 2025.
    const der = Buffer.from((stamps(material)[0] as Json)['signedTimestamp'] as Json, 'base64');
    const time = der.indexOf(Buffer.from([0x18, 0x0f, 0x32, 0x30, 0x32]));
    der[time + 5] = 0x35;
    (stamps(material)[0] as Json)['signedTimestamp'] = der.toString('base64') as Json;
  }, 'certificate-time');
  refused(({ material }) => {
    // The month: there is no 91st.
    const der = Buffer.from((stamps(material)[0] as Json)['signedTimestamp'] as Json, 'base64');
    der[der.indexOf(Buffer.from([0x18, 0x0f, 0x32, 0x30, 0x32])) + 6] = 0x39;
    (stamps(material)[0] as Json)['signedTimestamp'] = der.toString('base64') as Json;
  }, 'timestamp-invalid');
  refused(({ material }) => ((stamps(material)[0] as Json)['signedTimestamp'] = 'bm8gdGltZXN0YW1w' as Json), 'timestamp-invalid');
  refused(({ material }) => (stamps(material)[1] = stamps(material)[0] as Json), 'timestamp-twice');
});

test('a timestamp that its authority did not grant is refused', () => {
  refused(({ material }) => {
    const [one] = (material['timestampVerificationData'] as Json)['rfc3161Timestamps'] as Json;
    const der = Buffer.from((one as Json)['signedTimestamp'] as Json, 'base64');
    // PKIStatusInfo stands first, outside of what is signed.
    const status = der.indexOf(Buffer.from([0x30, 0x03, 0x02, 0x01, 0x00]));
    der[status + 4] = 2;
    (one as Json)['signedTimestamp'] = der.toString('base64') as Json;
  }, 'timestamp-invalid');
});

test("our log's time is the time of its own place, whatever a timestamp says, and judges no certificate", async () => {
  for (const time of [stamp - 86_400, stamp + 86_400]) {
    const log = logInMemory('log-4567.cairn.internal', time);
    const { one, root } = read();
    const { payload, payloadType, signatures: [signature] } = one['dsseEnvelope'] as unknown as Envelope;
    const material = one['verificationMaterial'] as Json;
    const leaf = hashedRekord(sha256(pae(payloadType, Buffer.from(payload, 'base64'))).toString('base64'), signature.sig, { x509Certificate: (material['certificate'] as Json)['rawBytes'] as string });
    material['tlogEntries'] = (await log.logBodies(leaf)) as unknown as Json;
    const roots = [parseSigstoreRoot(bytes(root))];
    // A timestamp can be had anew from any authority: it must not make an old statement young.
    assert.deepEqual(readForeign({ form: 'bundle', bundle: JSON.stringify(one) }, { roots, ours: log.verifier }).ours, { logIndex: 0, time });
  }
});

test('a root that does not know the certificate authority, the timestamp authority or the log believes nothing', () => {
  refused(({ root }) => (root['certificateAuthorities'] = [] as unknown as Json), 'certificate-untrusted');
  refused(({ root }) => (root['timestampAuthorities'] = [] as unknown as Json), 'timestamp-invalid');
  refused(({ root }) => (root['tlogs'] = [] as unknown as Json), 'log-unknown');
  refused(({ material }) => (material['tlogEntries'] = [] as unknown as Json), 'log-entry-missing');
});

test('where the root knows certificate logs, a certificate that none of them has seen is refused', () => {
  refused(({ root }) => (root['ctlogs'] = root['tlogs'] as Json), 'sct-invalid');
});

test('a certificate authority cannot set times: its certificate is not for timestamping', () => {
  refused(({ root }) => (root['timestampAuthorities'] = root['certificateAuthorities'] as Json), 'timestamp-invalid');
});

test('without any log in the root, as GitHub has it, the timestamp is what counts', () => {
  const verified = verifyAfter(({ root, material }) => {
    root['tlogs'] = [] as unknown as Json;
    material['tlogEntries'] = [] as unknown as Json;
  });
  assert.deepEqual([verified.log, verified.times], [null, [stamp]]);
});

test('whatever single bit of a bundle is changed, it is refused with a reason; or nobody signed that bit, and it says the same', () => {
  const { one, root } = read();
  const options = { root: parseSigstoreRoot(bytes(root)) };
  const original = verifyForeign(bytes(one), options);
  // The certificates that come with a timestamp, which are not the ones that are believed; signatures on a checkpoint by keys that the root does not know.
  const unsigned = new Set(['signedTimestamp', 'envelope']);
  let tried = 0;
  const flip = (parent: Json, name: string) => {
    const value = parent[name] as Json;
    if (typeof value !== 'string') return void Object.keys(value).forEach((inner) => flip(value, inner));
    const text = value as string;
    const decoded = Buffer.from(text, 'base64');
    const isBase64 = text.length > 12 && decoded.toString('base64') === text;
    const length = isBase64 ? decoded.byteLength : text.length;
    for (let at = 0; at < length; at += Math.ceil(length / 12)) {
      const changed = Buffer.from(isBase64 ? decoded : Buffer.from(text));
      changed[at] = (changed[at] ?? 0) ^ (isBase64 ? 1 << at % 8 : 1);
      parent[name] = (isBase64 ? changed.toString('base64') : changed.toString()) as Json;
      tried += 1;
      try {
        assert.deepEqual(verifyForeign(bytes(one), options), original);
        assert.ok(unsigned.has(name), `${name} may be changed at ${at}`);
      } catch (error) {
        if (!(error instanceof CairnError)) throw error;
        assert.equal(typeof error.context['reason'], 'string', `${name} at ${at}: ${error.message}`);
      }
    }
    parent[name] = value;
  };
  Object.keys(one).forEach((name) => flip(one, name));
  assert.ok(tried > 100);
});

test('several roots are asked each by itself: what one lacks, no other lends', () => {
  const { one, root, two } = read();
  const of = (change: (it: Json) => void) => {
    const copy = structuredClone(root);
    change(copy);
    return parseSigstoreRoot(bytes(copy));
  };
  const whole = of(() => {});
  assert.equal(verifyForeignByAny(bytes(one), [seedRoot(), whole], {}).root, whole.digest);
  const refusedBy = (roots: Parameters<typeof verifyForeignByAny>[1], reason: Reason, bundle: Json = one) => assert.throws(() => verifyForeignByAny(bytes(bundle), roots, {}), { context: { reason } });
  const [withoutLogs, withoutAuthorities] = [of((it) => (it['tlogs'] = [] as unknown as Json)), of((it) => (it['certificateAuthorities'] = [] as unknown as Json))];
  refusedBy([withoutLogs, withoutAuthorities], 'certificate-untrusted');
  refusedBy([withoutAuthorities, withoutLogs], 'log-unknown');
  refusedBy([], 'log-unknown');
  // The root that knows the bundle's log and authorities has the last word on it, whoever else might be asked.
  refusedBy([of((it) => (validity(logOf(it))['end'] = at(-1))), seedRoot()], 'log-key-validity');
  refusedBy([whole, seedRoot()], 'signature-invalid', Object.assign(one, { dsseEnvelope: two['dsseEnvelope'] }));
});
