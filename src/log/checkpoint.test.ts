import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { test } from 'node:test';
import { sha256 } from '#core';
import { entryBody, formatCheckpoint, readCheckpoint } from '#log';
import { generateSigner, signerFrom } from '#sign';

const seeded = (byte: number) =>
  signerFrom(createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, byte)]), format: 'der', type: 'pkcs8' }));
const keys = { origin: 'log-3f9c2a.cairn.internal', log: seeded(1), time: seeded(2) };
const known = { origin: keys.origin, log: keys.log.publicKey, time: keys.time.publicKey };

test('a checkpoint has its pinned form', () => {
  assert.equal(
    formatCheckpoint(keys, 6, sha256('root'), 1_795_500_000),
    'log-3f9c2a.cairn.internal\n6\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n\n' +
      '\u2014 log-3f9c2a.cairn.internal EAi86RG28gGk0ZWcHjD5VPBvfyUE3QyPfptDmO7huhgQoSEKw6NF7dQAvlMZkxWHsJSQTN175VMQr5gYPFvHr7FNvAs=\n' +
      '\u2014 log-3f9c2a.cairn.internal/time 27HQ8AAAAABrBSfgz2MVNWtKYeMjWkTsXnR8DTb9TCdNTWST3ytWPngWzpnrgder9t860WbsL048msyoYTM1uB2JF8+hqY0/ZQm8AQ==\n',
  );
});

test('a checkpoint gives back size, root and the time of the log', () => {
  const checkpoint = readCheckpoint(formatCheckpoint(keys, 6, sha256('root'), 1_795_500_000), known);
  assert.deepEqual([checkpoint.size, checkpoint.root, checkpoint.time], [6, sha256('root'), 1_795_500_000]);
});

test('a checkpoint is refused with another root, another time, another key or another origin', () => {
  const note = formatCheckpoint(keys, 6, sha256('root'), 1_795_500_000);
  const refused = { code: 'verification-failed' };
  assert.throws(() => readCheckpoint(note.replace('\n6\n', '\n7\n'), known), refused);
  assert.throws(() => readCheckpoint(note, { ...known, log: generateSigner('ed25519').publicKey }), refused);
  assert.throws(() => readCheckpoint(note, { ...known, time: generateSigner('ed25519').publicKey }), refused);
  assert.throws(() => readCheckpoint(note, { ...known, origin: 'log-3f9c2b.cairn.internal' }), refused);
  const withoutTime = note.split('\n').slice(0, 5).join('\n') + '\n';
  assert.throws(() => readCheckpoint(withoutTime, known), refused);
  assert.throws(() => readCheckpoint(note.replace('\n6\n', '\n06\n'), known), { code: 'malformed-document' });
});

test("a log entry has Rekor v2's bytes", () => {
  assert.equal(
    entryBody(Buffer.from('pae'), 'c2ln', Buffer.from('spki')).toString(),
    '{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"' +
      `${sha256('pae').toString('base64')}"},"signature":{"content":"c2ln","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"c3BraQ=="}}}}}}`,
  );
});
