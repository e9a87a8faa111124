import { verify } from 'node:crypto';
import { verificationFailed } from '#core';
import type { Signer } from '#sign';
import { algorithms, signatureLine, type Note } from './note.ts';
import { noteKey, type NoteKey } from './vkey.ts';

// C2SP tlog-cosignature, cosignature/v1: u64 seconds || Ed25519 over `cosignature/v1\ntime SECONDS\n` and the note's text. It says: at
// that time this was the largest tree of the log that the cosigner had seen, and it continued all that it had seen before.

function cosigned(text: string, time: number): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
}

/** The signature line of a cosigner under a checkpoint's text. @param time seconds since 1970 */
export function cosign({ name, signer }: { name: string; signer: Signer }, text: string, time: number): string {
  const stamp = Buffer.alloc(8);
  stamp.writeBigUInt64BE(BigInt(time));
  const { id } = noteKey(name, algorithms.cosignature, signer.publicKey);
  return signatureLine(name, Buffer.from(id, 'hex'), Buffer.concat([stamp, signer.sign(cosigned(text, time))]));
}

/**
 * When the key cosigned the note, in seconds since 1970; undefined where it did not. Of several lines by one key the latest time is meant.
 * @throws CairnError `verification-failed` where a line that names the key is not by it: a forgery, which spoils the note
 */
export function cosignedAt({ text, signatures }: Note, key: NoteKey): number | undefined {
  let latest: number | undefined;
  for (const { name, id, signature } of signatures) {
    if (name !== key.name || id !== key.id) continue;
    const time = signature.byteLength === 72 ? Number(signature.readBigUInt64BE()) : Number.NaN;
    if (!Number.isSafeInteger(time) || !verify(null, cosigned(text, time), key.key, signature.subarray(8))) {
      throw verificationFailed('cosignature-invalid', `a cosignature in the name of ${key.name} is not by its key`);
    }
    latest = Math.max(latest ?? 0, time);
  }
  return latest;
}

/** The lines of a note by that key, as they stand. */
export function linesOf({ signatures }: Note, key: NoteKey): string[] {
  return signatures.filter(({ name, id }) => name === key.name && id === key.id).map(({ name, id, signature }) => signatureLine(name, Buffer.from(id, 'hex'), signature));
}
