import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireReplyTo, timestampQuery } from './timestamp.ts';

// The answer of Sigstore's timestamp authority to a question of ours, from the fixture of the verify room.
const fixture = JSON.parse(readFileSync(join(import.meta.dirname, '../verify/fixture-keyless.json'), 'utf8')) as { one: { dsseEnvelope: { signatures: { sig: string }[] }; verificationMaterial: { timestampVerificationData: { rfc3161Timestamps: { signedTimestamp: string }[] } } } };
const reply = Buffer.from(fixture.one.verificationMaterial.timestampVerificationData.rfc3161Timestamps[0]?.signedTimestamp ?? '', 'base64');
const signature = Buffer.from(fixture.one.dsseEnvelope.signatures[0]?.sig ?? '', 'base64');
// The nonce is the one INTEGER of eight bytes in the answer.
const nonce = reply.subarray(reply.indexOf(Buffer.from([0x02, 0x08])) + 2).subarray(0, 8);
const refused = { code: 'malformed-document', context: { reason: 'timestamp-invalid' } };

test('a question is as RFC 3161 has it', () => {
  const query = timestampQuery(Buffer.from('abc'), Buffer.from('0102030405060708', 'hex'));
  assert.equal(query.toString('hex'), '30430201013031300d060960864801650304020105000420ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad020801020304050607080101ff');
});

test('an answer to another question is refused: another signature, another nonce, no timestamp', () => {
  requireReplyTo(reply, signature, nonce);
  assert.throws(() => requireReplyTo(reply, Buffer.from('another'), nonce), refused);
  assert.throws(() => requireReplyTo(reply, signature, Buffer.alloc(8, 1)), refused);
  for (const bad of [Buffer.alloc(0), Buffer.from('no'), reply.subarray(0, 100), Buffer.from('30053003020102', 'hex')]) assert.throws(() => requireReplyTo(bad, signature, nonce), refused);
});
