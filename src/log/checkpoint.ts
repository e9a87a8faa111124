import { verify, type KeyObject } from 'node:crypto';
import { malformed, verificationFailed } from '#core';
import { spkiOf, type Signer } from '#sign';
import { algorithms, keyId, parseNote, signatureLine } from './note.ts';

// C2SP tlog-checkpoint, with one cosignature/v1 by the log's own time key: an entry's time is the time of the first
// checkpoint that covers it, said by the log and by nobody's clock but the log's.

export interface LogKeys {
  /** A bare hostname: verifiers compare it with the hostname of the trusted root's baseUrl. */
  readonly origin: string;
  readonly log: Signer;
  readonly time: Signer;
}

export interface LogVerifier {
  readonly origin: string;
  readonly log: KeyObject;
  readonly time: KeyObject;
  /** Keys that the log had before, oldest first; absent where it never had another. */
  readonly former?: readonly FormerLogKey[];
}

/** A key that was retired when the log had `size` entries: it speaks for no more than those. */
export interface FormerLogKey {
  readonly log: KeyObject;
  readonly size: number;
  /** RFC 3339: from when on it was the log's, and when it was retired. */
  readonly since: string;
  readonly until: string;
}

export interface Checkpoint {
  readonly size: number;
  /** base64: by which id entries name the log, whose key signed this. */
  readonly logId: string;
  readonly root: Buffer;
  /** Seconds since 1970, from the log's cosignature. */
  readonly time: number;
  readonly note: string;
}

/** The name of the key whose cosignature gives a checkpoint its time. A key of its own: one key, one kind of message. */
function timeKeyName(origin: string): string {
  return `${origin}/time`;
}

export function rawKey(key: KeyObject): Buffer {
  return spkiOf(key).subarray(-32);
}

/** The untruncated key id: what a log entry names its log by. */
export function logIdOf(origin: string, log: KeyObject): Buffer {
  return keyId(origin, algorithms.ed25519, rawKey(log));
}

export function formatCheckpoint(keys: LogKeys, size: number, root: Buffer, time: number): string {
  const text = `${keys.origin}\n${size}\n${root.toString('base64')}\n`;
  const name = timeKeyName(keys.origin);
  const stamp = Buffer.alloc(8);
  stamp.writeBigUInt64BE(BigInt(time));
  const cosignature = Buffer.concat([stamp, keys.time.sign(cosigned(text, time))]);
  const timeId = keyId(name, algorithms.cosignature, rawKey(keys.time.publicKey));
  return `${text}\n${signatureLine(keys.origin, logIdOf(keys.origin, keys.log.publicKey), keys.log.sign(Buffer.from(text)))}${signatureLine(name, timeId, cosignature)}`;
}

/**
 * Reads a checkpoint and verifies both of the log's signatures. Others' cosignatures are left for those who know their keys.
 * @throws CairnError `malformed-document`, `verification-failed`
 */
export function readCheckpoint(note: string, log: LogVerifier): Checkpoint {
  const { text, signatures } = parseNote(note);
  const [origin, size, root, ...rest] = text.split('\n');
  const hash = Buffer.from(root ?? '', 'base64');
  if (rest.length !== 1 || rest[0] !== '' || !/^(0|[1-9][0-9]{0,15})$/.test(size ?? '') || hash.byteLength !== 32 || hash.toString('base64') !== root) {
    throw malformed('checkpoint-malformed', 'not a checkpoint');
  }
  if (origin !== log.origin) throw verificationFailed('checkpoint-origin', `the checkpoint is of the log ${origin}, not of ${log.origin}`);
  const find = (name: string, id: Buffer) => signatures.find((one) => one.name === name && one.id === id.subarray(0, 4).toString('hex'));
  const signer = signerOf(log, (key) => find(origin, logIdOf(origin, key)));
  if (signer === undefined || !verify(null, Buffer.from(text), signer.key, signer.signature)) {
    throw verificationFailed('checkpoint-signature', `the checkpoint is not signed by the key of ${origin}`, { fix: 'If the log has a new key, take the newest cairn.trust.json: git pull' });
  }
  // Whoever finds a retired key may sign with it; what is signed counts for the entries that were there when it was the log's.
  if (Number(size) <= signer.above || Number(size) > signer.upTo) {
    throw verificationFailed('log-key-validity', `the checkpoint is of ${size} entries, and its key speaks for ${signer.above + 1} to ${signer.upTo === Infinity ? 'now' : signer.upTo}: the log has another for this size`);
  }
  const name = timeKeyName(origin);
  const stamp = find(name, keyId(name, algorithms.cosignature, rawKey(log.time)));
  if (stamp?.signature.byteLength !== 72) throw verificationFailed('checkpoint-time', 'the checkpoint carries no time of its log');
  const time = Number(stamp.signature.readBigUInt64BE());
  if (!verify(null, cosigned(text, time), log.time, stamp.signature.subarray(8))) {
    throw verificationFailed('checkpoint-time', "the checkpoint's time is not signed by its log");
  }
  return { size: Number(size), logId: logIdOf(origin, signer.key).toString('base64'), root: hash, time, note };
}

/** The newest of the log's keys that signed, and the sizes that it speaks for. */
function signerOf(log: LogVerifier, find: (key: KeyObject) => { readonly signature: Buffer } | undefined): { key: KeyObject; signature: Buffer; above: number; upTo: number } | undefined {
  const former = log.former ?? [];
  const keys = [...former.map((one, at) => ({ key: one.log, above: former[at - 1]?.size ?? -1, upTo: one.size })), { key: log.log, above: former.at(-1)?.size ?? -1, upTo: Infinity }];
  for (const one of keys.toReversed()) {
    const signature = find(one.key)?.signature;
    if (signature !== undefined) return { ...one, signature };
  }
  return undefined;
}

function cosigned(text: string, time: number): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
}
