import { verify } from 'node:crypto';
import { malformed, verificationFailed } from '#core';
import { algorithms, type Note } from './note.ts';
import type { NoteKey } from './vkey.ts';
import { cosignedAt } from './cosignature.ts';

/** What a checkpoint of any log says, ours or another's: nothing of it is verified yet. */
export interface TreeHead {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
  /** Lines behind the third; nobody here gives them a meaning. */
  readonly extensions: readonly string[];
}

const mostExtensions = 16;

/**
 * C2SP tlog-checkpoint, for logs that are not ours. Strict: one number has one spelling and no line is empty, or two readers of one signature see two trees.
 * @throws CairnError `malformed-document`
 */
export function parseTreeHead(text: string): TreeHead {
  const [origin = '', size = '', root = '', ...rest] = text.split('\n');
  const hash = Buffer.from(root, 'base64');
  const extensions = rest.slice(0, -1);
  // oxlint-disable-next-line no-control-regex
  const plain = !/[\u0000-\u0009\u000b-\u001f\u007f]/.test(text) && origin !== '' && origin.length <= 255 && rest.at(-1) === '' && extensions.length <= mostExtensions && !extensions.includes('');
  if (!plain || !/^(0|[1-9][0-9]{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)) || hash.byteLength !== 32 || hash.toString('base64') !== root) {
    throw malformed('checkpoint-malformed', 'not a checkpoint');
  }
  return { origin, size: Number(size), root: hash, extensions };
}

/**
 * Whether one of the keys signed the note. Signatures of others are left out of account, as the specification has it; one in the name of a known key that is not by it spoils the note.
 * @throws CairnError `verification-failed`
 */
export function isSignedBy(note: Note, keys: readonly NoteKey[]): boolean {
  let signed = false;
  for (const key of keys) {
    if (key.algorithm === algorithms.cosignature) {
      signed = cosignedAt(note, key) !== undefined || signed;
      continue;
    }
    for (const { name, id, signature } of note.signatures) {
      if (name !== key.name || id !== key.id) continue;
      if (!verify(null, Buffer.from(note.text), key.key, signature)) throw verificationFailed('checkpoint-signature', `a signature in the name of ${key.name} is not by its key`);
      signed = true;
    }
  }
  return signed;
}
