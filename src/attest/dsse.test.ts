import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeStatement, parseEnvelope, parseStatement, signEnvelope, subjectOf, verifyEnvelope } from '#attest';
import { digestOf } from '#core';
import { generateSigner } from '#sign';

const ada = generateSigner('ecdsa');
const payload = makeStatement({ predicateType: 'https://example.com/x', subject: [subjectOf('one', digestOf('one'))], predicate: { a: 1 } });
const envelope = signEnvelope(payload, ada);
const malformed = { code: 'malformed-document' };

test('an envelope holds exactly one signature, over its type and payload, by its key', () => {
  assert.deepEqual(parseEnvelope(JSON.parse(JSON.stringify(envelope))), envelope);
  assert.ok(verifyEnvelope(envelope, ada.publicKey));
  assert.ok(!verifyEnvelope(envelope, generateSigner('ecdsa').publicKey));
  assert.ok(!verifyEnvelope({ ...envelope, payloadType: 'text/plain' }, ada.publicKey));
  assert.ok(!verifyEnvelope({ ...envelope, payload: Buffer.from('{}').toString('base64') }, ada.publicKey));
});

test('one signature twice, none, a key identifier, another type, or base64 that is not the one form is refused', () => {
  const [sig] = envelope.signatures;
  for (const change of [{ signatures: [sig, sig] }, { signatures: [] }, { signatures: [{ ...sig, keyid: 'SHA256:x' }] }, { payloadType: 'text/plain' }, { payload: 'YQ' }, { payload: 'YR==\n' }, { extra: 1 }]) {
    assert.throws(() => parseEnvelope({ ...envelope, ...change }), malformed, JSON.stringify(change));
  }
});

test('duplicate JSON keys in a statement are refused, and every other form than the canonical one', () => {
  assert.equal(parseStatement(payload).subject[0]?.name, 'one');
  const text = payload.toString();
  const twice = text.replace('"predicate":', '"predicate":{"a":2},"predicate":');
  for (const other of [twice, ` ${text}`, `${text}\n`, text.replace('"a":1', '"a":1.0'), text.replace('one', '\\u006fne')]) {
    assert.notEqual(other, text);
    assert.throws(() => parseStatement(Buffer.from(other)), malformed);
  }
});

test('a statement without a subject, or about no sha256 digest, is refused', () => {
  for (const subject of [[], [{ name: 'x', digest: { sha512: 'ab' } }], [{ name: 'x', digest: { sha256: 'AB' } }]]) {
    assert.throws(() => parseStatement(makeStatement({ predicateType: 'x', subject: subject as never, predicate: {} })), malformed);
  }
});
