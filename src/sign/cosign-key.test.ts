import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decryptPrivateKey, encryptPrivateKey, generateSigner } from '#sign';

test('a key comes back from its encrypted file with the right passphrase', async () => {
  const signer = generateSigner('ecdsa');
  const key = await decryptPrivateKey(await encryptPrivateKey(signer.privateKey, 'stone'), 'stone');
  assert.ok(key.equals(signer.privateKey));
});

test('a wrong passphrase is told apart from a damaged file', async () => {
  const pem = await encryptPrivateKey(generateSigner('ed25519').privateKey, 'stone');
  await assert.rejects(decryptPrivateKey(pem, 'pebble'), { code: 'wrong-passphrase' });
  await assert.rejects(decryptPrivateKey(pem.slice(40), 'stone'), { code: 'malformed-document' });
});

test('a key file that asks for a costlier derivation than cosign writes is refused before any work', async () => {
  const file = { kdf: { name: 'scrypt', params: { N: 2 ** 24, r: 8, p: 1 }, salt: '' }, cipher: { name: 'nacl/secretbox', nonce: '' }, ciphertext: '' };
  const pem = `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${Buffer.from(JSON.stringify(file)).toString('base64')}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`;
  await assert.rejects(decryptPrivateKey(pem, 'stone'), { code: 'malformed-document' });
});
