import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { test } from 'node:test';
import { sha256 } from '#core';
import { entryBody, formatCheckpoint, parseNote, readCheckpoint } from '#log';
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

test('a checkpoint whose time was changed is refused, and so is one whose signature by the log is forged while its time is not', () => {
  const refused = { code: 'verification-failed', message: /time/ };
  const lines = formatCheckpoint(keys, 6, sha256('root'), 1_795_500_000).split('\n');
  const [, name = '', stamp = ''] = (lines[5] ?? '').split(' ');
  const bytes = Buffer.from(stamp, 'base64');
  bytes.writeBigUInt64BE(1_895_500_000n, 4);
  const later = [...lines.slice(0, 5), `\u2014 ${name} ${bytes.toString('base64')}`, ''].join('\n');
  assert.throws(() => readCheckpoint(later, known), refused);
  const forged = lines.map((line, at) => (at === 4 ? lines[4]?.replace(/.{8}$/, 'AAAAAAA=') : line)).join('\n');
  assert.throws(() => readCheckpoint(forged, known), { code: 'verification-failed', message: /not signed by the key/ });
});

test('a note or checkpoint in another form than the one is refused', () => {
  const malformed = { code: 'malformed-document' };
  const note = formatCheckpoint(keys, 6, sha256('root'), 1_795_500_000);
  const signature = note.split('\n')[4] ?? '';
  const root = sha256('root').toString('base64');
  for (const other of [
    note.replace(root, `${root.slice(0, -2)}${root.at(-2) === 'A' ? 'B' : 'J'}=`),
    note.replace('\n6\n', '\n6\nextension\n'),
    note.slice(0, -1),
    note.replace('\n\n', '\n'),
    note.replace('\u2014 ', '- '),
    `${note}${`${signature}\n`.repeat(31)}`,
    `${'x'.repeat(65_536)}\n${note}`,
    note.replace(signature, signature.replace(/=$/, '')),
    '',
  ]) assert.throws(() => readCheckpoint(other, known), malformed, other.slice(0, 300));
  assert.throws(() => parseNote(note.replace('\n\n', `\n${'x'.repeat(65_536)}\n\n`)), { ...malformed, message: /not a signed note/ });
});

test("a log entry has Rekor v2's bytes", () => {
  assert.equal(
    entryBody(Buffer.from('pae'), 'c2ln', Buffer.from('spki')).toString(),
    '{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"' +
      `${sha256('pae').toString('base64')}"},"signature":{"content":"c2ln","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"c3BraQ=="}}}}}}`,
  );
});
