import { malformed, sha256 } from '#core';

// C2SP signed-note: a text ending in a newline, an empty line, then signature lines `— name base64(keyID4 || signature)`.

export const algorithms = { ed25519: 1, cosignature: 4 } as const;

export interface Note {
  readonly text: string;
  readonly signatures: readonly { readonly name: string; readonly id: string; readonly signature: Buffer }[];
}

/** Key id: SHA-256(name || 0x0A || algorithm || public key), of which notes carry the first four bytes. */
export function keyId(name: string, algorithm: number, publicKey: Uint8Array): Buffer {
  return sha256(Buffer.concat([Buffer.from(`${name}\n`), Buffer.from([algorithm]), publicKey]));
}

export function signatureLine(name: string, id: Buffer, signature: Uint8Array): string {
  return `\u2014 ${name} ${Buffer.concat([id.subarray(0, 4), signature]).toString('base64')}\n`;
}

/** @throws CairnError `malformed-document`. Bounded: a note comes from whoever answers at the log's address. */
export function parseNote(note: string): Note {
  const end = note.lastIndexOf('\n\n');
  if (note.length > 65_536 || end < 0 || !note.endsWith('\n')) throw malformed('checkpoint-malformed', 'not a signed note');
  const signatures = note.slice(end + 2, -1).split('\n').map((line) => {
    const match = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/.exec(line);
    const bytes = Buffer.from(match?.[2] ?? '', 'base64');
    if (match?.[1] === undefined || bytes.byteLength < 5 || bytes.toString('base64') !== match[2]) {
      throw malformed('checkpoint-malformed', 'a signature line of the note is malformed');
    }
    return { name: match[1], id: bytes.subarray(0, 4).toString('hex'), signature: bytes.subarray(4) };
  });
  if (signatures.length > 32) throw malformed('checkpoint-malformed', 'the note has more than 32 signatures');
  return { text: note.slice(0, end + 1), signatures };
}
