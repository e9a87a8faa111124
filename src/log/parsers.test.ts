import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CairnError, sha256 } from '#core';
import { cosign, cosignedAt, formatCheckpoint, formatVkey, isSignedBy, logNoteKeys, noteKey, parseNote, parseTreeHead, parseVkey } from '#log';
import { generateSigner } from '#sign';

const signer = generateSigner('ed25519');
const key = noteKey('w.example.com', 4, signer.publicKey);
const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const note = formatCheckpoint(keys, 12, sha256('root'), 1000);
const whole = note + cosign({ name: key.name, signer }, parseNote(note).text, 2000);

/** Reads, or refuses with a code: nothing else comes of any input. */
function answer<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    assert.ok(error instanceof CairnError && ['malformed-document', 'verification-failed'].includes(error.code), String(error));
    return undefined;
  }
}

test('a verifier key comes back from its text, and any change of it is refused or is another key', () => {
  const text = formatVkey(key);
  assert.equal(formatVkey(parseVkey(text)), text);
  fc.assert(fc.property(fc.nat(text.length - 1), fc.string({ minLength: 0, maxLength: 3 }), (at, by) => {
    const changed = text.slice(0, at) + by + text.slice(at + 1);
    const read = answer(() => parseVkey(changed));
    if (read !== undefined) assert.equal(formatVkey(read), changed);
  }));
  fc.assert(fc.property(fc.string(), (any) => void answer(() => parseVkey(any))));
});

test('of a cosigned checkpoint no byte can be changed without the cosignature failing or going away', () => {
  assert.equal(cosignedAt(parseNote(whole), key), 2000);
  fc.assert(fc.property(fc.nat(whole.length - 1), fc.constantFrom('a', '0', '\n', '=', ' ', '\u2014', '+'), (at, by) => {
    if (whole[at] === by) return;
    const changed = whole.slice(0, at) + by + whole.slice(at + 1);
    const parsed = answer(() => parseNote(changed));
    const text = parsed === undefined || parsed.text === parseNote(whole).text;
    const time = parsed === undefined ? undefined : answer(() => cosignedAt(parsed, key));
    if (!text) assert.equal(time, undefined, 'another text');
    else if (time !== undefined) assert.equal(time, 2000);
  }), { numRuns: 500 });
});

test('a forged line in the name of a witness spoils the note, a line of a stranger does not', () => {
  const forged = note + cosign({ name: key.name, signer }, parseNote(note).text.replace('12', '13'), 2000);
  assert.throws(() => cosignedAt(parseNote(forged), key), { code: 'verification-failed', context: { reason: 'cosignature-invalid' } });
  const stranger = note + cosign({ name: key.name, signer: generateSigner('ed25519') }, parseNote(note).text, 2000);
  assert.equal(cosignedAt(parseNote(stranger), key), undefined);
  assert.equal(isSignedBy(parseNote(stranger), logNoteKeys({ origin: keys.origin, log: keys.log.publicKey, time: keys.time.publicKey })), true);
});

test('a checkpoint of any log is read in one way only', () => {
  const root = sha256('root').toString('base64');
  assert.deepEqual(parseTreeHead(`a.example.com/log 1\n0\n${root}\nmore\n`).extensions, ['more']);
  const bad = ['', 'a', `a\n1\n${root}`, `\n1\n${root}\n`, `a\n01\n${root}\n`, `a\n+1\n${root}\n`, `a\n9007199254740992\n${root}\n`, `a\n1\n${root}=\n`, `a\n1\n${root.slice(0, -2)}!=\n`, `a\n1\n${root}\n\n`, `a\u0001\n1\n${root}\n`, `${'a'.repeat(256)}\n1\n${root}\n`, `a\n1\n${root}\n${'x\n'.repeat(17)}`];
  for (const text of bad) assert.throws(() => parseTreeHead(text), { code: 'malformed-document' }, JSON.stringify(text.slice(0, 40)));
  fc.assert(fc.property(fc.string(), (any) => void answer(() => parseTreeHead(any))));
});
