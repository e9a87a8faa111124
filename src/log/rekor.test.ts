import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, sha256 } from '#core';
import { entryBody, hashedRekord, readRekorRequest } from '#log';
import { generateSigner, spkiOf } from '#sign';

const signer = generateSigner('ecdsa');
const key = spkiOf(signer.publicKey).toString('base64');
const message = Buffer.from('a message that the log never sees');
const digest = sha256(message).toString('base64');
const content = signer.sign(message).toString('base64');
const asked = (change: { digest?: unknown; content?: unknown; verifier?: object } = {}) => ({
  hashedRekordRequestV002: {
    digest: change.digest ?? digest,
    signature: { content: change.content ?? content, verifier: change.verifier ?? { publicKey: { rawBytes: key }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } },
  },
});
const refused = (value: unknown, code = 'malformed-document') => assert.throws(() => readRekorRequest(value), { code });

test('a request with a key becomes the leaf in canonical JSON', () => {
  const { body, key: by } = readRekorRequest(asked());
  assert.equal(by, key);
  assert.deepEqual(body, canonicalJson({
    apiVersion: '0.0.2', kind: 'hashedrekord',
    spec: { hashedRekordV002: { data: { algorithm: 'SHA2_256', digest }, signature: { content, verifier: { keyDetails: 'PKIX_ECDSA_P256_SHA_256', publicKey: { rawBytes: key } } } } },
  }));
  assert.deepEqual(body, entryBody(message, content, Buffer.from(key, 'base64')));
  assert.match(hashedRekord(digest, content, { x509Certificate: 'AAAA' }).toString(), /"x509Certificate":\{"rawBytes":"AAAA"\}/);
});

test('a signature over another digest, or by another key, is not logged', () => {
  refused(asked({ digest: sha256('another').toString('base64') }), 'verification-failed');
  refused(asked({ verifier: { publicKey: { rawBytes: spkiOf(generateSigner('ecdsa').publicKey).toString('base64') }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } }), 'verification-failed');
});

test('an Ed25519 key is refused, as Rekor v2 refuses it', () => {
  const rawBytes = spkiOf(generateSigner('ed25519').publicKey).toString('base64');
  refused(asked({ verifier: { publicKey: { rawBytes }, keyDetails: 'PKIX_ED25519_PH' }, digest: Buffer.alloc(64).toString('base64') }));
  refused(asked({ verifier: { publicKey: { rawBytes }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } }));
});

test('what is not exactly a request is refused with its reason: fields too many or too few, other types, odd base64, certificates that are none', () => {
  for (const bad of [
    null, [], 'text', {}, { dsseRequestV002: {} }, { ...asked(), more: 1 }, { hashedRekordRequestV002: { digest } },
    asked({ digest: 7 }), asked({ digest: '' }), asked({ digest: `${digest} ` }), asked({ digest: digest.replace('=', '') }), asked({ digest: Buffer.alloc(31).toString('base64') }), asked({ content: 'A'.repeat(4096) }),
    asked({ verifier: { keyDetails: 'PKIX_ECDSA_P256_SHA_256' } }), asked({ verifier: { publicKey: { rawBytes: key }, x509Certificate: { rawBytes: key }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } }),
    asked({ verifier: { x509Certificate: { rawBytes: key }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } }), asked({ verifier: { publicKey: { rawBytes: key } } }),
    asked({ verifier: { publicKey: { rawBytes: key, hint: '' }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } }), asked({ verifier: { publicKey: { rawBytes: key }, keyDetails: 'PKIX_ECDSA_P384_SHA_384' } }),
  ]) refused(bad);
});

/** The smallest certificate: no name, no extension, signed by the key that it is of. */
function certificateOf(of: typeof signer): Buffer {
  const der = (tag: number, ...parts: Uint8Array[]) => {
    const content = Buffer.concat(parts);
    const length = content.byteLength < 128 ? [content.byteLength] : content.byteLength < 256 ? [0x81, content.byteLength] : [0x82, content.byteLength >> 8, content.byteLength & 255];
    return Buffer.concat([Buffer.from([tag, ...length]), content]);
  };
  const algorithm = der(0x30, Buffer.from('06082a8648ce3d040302', 'hex'));
  const validity = der(0x30, der(0x17, Buffer.from('260101000000Z')), der(0x17, Buffer.from('270101000000Z')));
  const body = der(0x30, der(0xa0, der(2, Buffer.from([2]))), der(2, Buffer.from([1])), algorithm, der(0x30), validity, der(0x30), spkiOf(of.publicKey));
  return der(0x30, body, algorithm, der(3, Buffer.from([0]), of.sign(body)));
}

test('a request with a certificate is checked with its key and logged with its bytes; PEM, bytes behind it and another key are refused', () => {
  const certificate = certificateOf(signer);
  const withCertificate = (raw: Buffer) => asked({ verifier: { x509Certificate: { rawBytes: raw.toString('base64') }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } });
  const { body, key: by } = readRekorRequest(withCertificate(certificate));
  assert.equal(by, key);
  assert.ok(body.includes(`"x509Certificate":{"rawBytes":"${certificate.toString('base64')}"}`));
  refused(withCertificate(certificateOf(generateSigner('ecdsa'))), 'verification-failed');
  refused(withCertificate(Buffer.concat([certificate, Buffer.from([0])])));
  refused(withCertificate(Buffer.from(`-----BEGIN CERTIFICATE-----\n${certificate.toString('base64')}\n-----END CERTIFICATE-----\n`)));
});
