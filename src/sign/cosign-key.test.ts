import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decryptPrivateKey, encryptPrivateKey, generateSigner, keyRing } from '#sign';

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

test('keys of a ring share one derivation, and each opens by itself as any other key file', async () => {
  const signers = [generateSigner('ecdsa'), generateSigner('ed25519')];
  const ring = keyRing('stone');
  const pems = await Promise.all(signers.map((one) => ring.seal(one.privateKey)));
  const files = pems.map((pem) => JSON.parse(Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64').toString()) as { kdf: { salt: string; params: object }; cipher: { nonce: string } });
  assert.equal(files[0]?.kdf.salt, files[1]?.kdf.salt);
  assert.notEqual(files[0]?.cipher.nonce, files[1]?.cipher.nonce);
  assert.deepEqual(files[0]?.kdf.params, { N: 32768, r: 8, p: 1 });
  for (const [at, signer] of signers.entries()) {
    assert.ok((await keyRing('stone').open(pems[at] ?? '')).equals(signer.privateKey));
    assert.ok((await decryptPrivateKey(pems[at] ?? '', 'stone')).equals(signer.privateKey));
  }
  await assert.rejects(keyRing('pebble').open(pems[0] ?? ''), { code: 'wrong-passphrase' });
});
