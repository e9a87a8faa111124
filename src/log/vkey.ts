import { createPublicKey, type KeyObject } from 'node:crypto';
import { malformed } from '#core';
import { rawKey } from './checkpoint.ts';
import { algorithms, keyId } from './note.ts';

// C2SP signed-note, verifier keys: `name+hex(id4)+base64(algorithm || key)`, for Ed25519 in its two uses.

export type NoteAlgorithm = (typeof algorithms)[keyof typeof algorithms];

/** A key by which a line of a note is known, and what it may sign: notes (1), or cosignatures with a time in them (4). */
export interface NoteKey {
  readonly name: string;
  readonly algorithm: NoteAlgorithm;
  /** Eight hex digits, as signature lines carry them. */
  readonly id: string;
  readonly key: KeyObject;
}

const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

export function noteKey(name: string, algorithm: NoteAlgorithm, key: KeyObject): NoteKey {
  return Object.freeze({ name, algorithm, id: keyId(name, algorithm, rawKey(key)).subarray(0, 4).toString('hex'), key });
}

export function formatVkey({ name, algorithm, id, key }: NoteKey): string {
  return `${name}+${id}+${Buffer.concat([Buffer.from([algorithm]), rawKey(key)]).toString('base64')}`;
}

/**
 * Names with spaces or `+` would read as another line of a note. The id is computed again: a key that calls itself by another's id is refused.
 * @throws CairnError `malformed-document`
 */
export function parseVkey(text: string): NoteKey {
  const [, name = '', id, encoded = ''] = /^([^\s+\p{Z}\p{Cc}]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{1,128}={0,2})$/u.exec(text) ?? [];
  const bytes = Buffer.from(encoded, 'base64');
  const algorithm = bytes[0];
  const refuse = (why: string) => malformed('vkey-malformed', `not a verifier key: ${why}`, { fix: 'Copy it whole, as its owner printed it: NAME+8 hex digits+base64' });
  if (id === undefined || bytes.toString('base64') !== encoded) throw refuse(JSON.stringify(text.slice(0, 80)));
  if ((algorithm !== algorithms.ed25519 && algorithm !== algorithms.cosignature) || bytes.byteLength !== 33) throw refuse(`${name} is of a kind that is not read here; Ed25519 is`);
  const found = noteKey(name, algorithm, createPublicKey({ key: Buffer.concat([spkiPrefix, bytes.subarray(1)]), format: 'der', type: 'spki' }));
  if (found.id !== id) throw refuse(`${name} says that its id is ${id}, it is ${found.id}`);
  return found;
}
