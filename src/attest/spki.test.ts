import assert from 'node:assert/strict';
import { ECDH } from 'node:crypto';
import { test } from 'node:test';
import { spki } from '#attest';
import { generateSigner, spkiOf } from '#sign';

test('one key has one spelling: loose base64, a compressed point and another curve are refused', () => {
  const der = spkiOf(generateSigner('ecdsa').publicKey);
  const plain = der.toString('base64');
  for (const good of [plain, spkiOf(generateSigner('ed25519').publicKey).toString('base64')]) assert.equal(spki.parse(good), good);
  const compressed = Buffer.concat([Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'), ECDH.convertKey(der.subarray(-65), 'prime256v1', undefined, undefined, 'compressed') as Buffer]);
  const secp256k1 = Buffer.from(der.toString('hex').replace('06082a8648ce3d030107', '06052b8104000a'), 'hex');
  // The last character before the padding holds bits that decoding throws away.
  const loose = `${plain.slice(0, -3)}${String.fromCharCode(plain.charCodeAt(plain.length - 3) + 1)}==`;
  assert.deepEqual(Buffer.from(loose, 'base64'), der);
  for (const other of [loose, compressed.toString('base64'), secp256k1.toString('base64'), Buffer.concat([der, Buffer.alloc(1)]).toString('base64'), plain.replace(/=+$/, ''), '']) assert.equal(spki.safeParse(other).success, false, other);
});
