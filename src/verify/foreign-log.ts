import { verify, type KeyObject } from 'node:crypto';
import { canonicalJson, malformed, verificationFailed } from '#core';
import { inclusionRoot, leafHash, logIdOf, parseNote, type LogVerifier } from '#log';
import { spkiOf } from '#sign';
import type { ForeignEntry } from './foreign-bundle.ts';
import { knownLog } from './known-logs.ts';
import type { RootLog } from './sigstore-root.ts';

/** An entry that its log vouches for. */
export interface Logged {
  readonly log: RootLog;
  readonly isOurs: boolean;
  readonly index: number;
  /** Seconds since 1970 at which the log says it had it; null where it says nothing (Rekor v2). */
  readonly time: number | null;
}

/** Our own log in the form in which a trusted root names logs, once for each key that it has or had: how far each speaks is said by sizes, and checked with the checkpoint. */
export function ourLogs(ours: LogVerifier): RootLog[] {
  return [ours.log, ...(ours.former ?? []).map((one) => one.log)].map((key) => ({ host: ours.origin, names: [ours.origin], id: logIdOf(ours.origin, key), key, spki: spkiOf(key).toString('base64'), from: 0, until: Infinity }));
}

/**
 * Verifies that a log holds an entry: by its promise (Rekor v1), by an inclusion proof against a signed checkpoint, or by both,
 * where both are there. Bundles from version 0.2 on must carry the proof.
 * @throws CairnError `verification-failed`: `log-unknown`, `promise-invalid`, `proof-missing`, `proof-invalid`, `checkpoint-...`, `log-key-validity`
 */
export function verifyLogged(entry: ForeignEntry, version: 1 | 2 | 3, logs: readonly RootLog[], ours: LogVerifier | undefined): Logged {
  const own = ours === undefined ? undefined : ourLogs(ours).find((one) => one.id.equals(entry.logId.keyId));
  const isOurs = own !== undefined;
  const log = isOurs ? own : logs.find((one) => one.id.equals(entry.logId.keyId));
  if (log === undefined) throw refuse('log-unknown', `the root does not know the log ${entry.logId.keyId.toString('base64')}`);
  const isRekor2 = entry.kindVersion.kind === 'hashedrekord' && entry.kindVersion.version === '0.0.2';
  if (isRekor2 && (entry.inclusionPromise !== undefined || (entry.integratedTime ?? '0') !== '0')) throw refuse('promise-invalid', 'its log entry carries a time that such a log does not promise');
  const promised = entry.inclusionPromise === undefined ? null : verifyPromise(entry, log);
  const proof = entry.inclusionProof;
  if (proof?.checkpoint === undefined) {
    if (version > 1 || promised === null) throw refuse('proof-missing', 'its log entry carries no proof that the log holds it');
    return { log, isOurs, index: Number(entry.logIndex), time: promised };
  }
  const checkpoint = isOurs && ours !== undefined ? knownLog(ours).checkpoint(proof.checkpoint.envelope) : { ...readForeignCheckpoint(proof.checkpoint.envelope, log), time: null };
  if (isOurs && 'logId' in checkpoint && checkpoint.logId !== entry.logId.keyId.toString('base64')) throw refuse('log-unknown', "its log entry names another of the log's keys than the one that signed");
  const index = Number(proof.logIndex);
  if (proof.treeSize !== String(checkpoint.size) || !proof.rootHash.equals(checkpoint.root)) throw refuse('proof-invalid', 'the inclusion proof is of another tree than the checkpoint');
  // Rekor v1 counts over all of its shards and promises that number; Rekor v2 has one number.
  if (isRekor2 && entry.logIndex !== proof.logIndex) throw refuse('proof-invalid', 'the inclusion proof is of another index than the entry');
  const root = inclusionRoot(leafHash(entry.canonicalizedBody), index, checkpoint.size, proof.hashes);
  if (root?.equals(checkpoint.root) !== true) throw refuse('proof-invalid', 'the inclusion proof does not lead to the checkpoint');
  return { log, isOurs, index: promised === null ? index : Number(entry.logIndex), time: promised ?? checkpoint.time };
}

/**
 * A log's key counts within its validity only, both ends included. Without any proven time it must be one that has no end: whoever
 * stole a retired key writes what he wants with it.
 */
export function requireKeyValidity({ log, time }: Logged, times: readonly number[]): void {
  const at = time === null ? times : [time];
  const bad = at.find((one) => one < log.from || one > log.until);
  if (bad !== undefined || (at.length === 0 && log.until !== Infinity)) {
    throw refuse('log-key-validity', `the key of the log ${log.host} was not valid ${bad === undefined ? 'for ever, and no time is proven' : `at ${when(bad)}`}`);
  }
}

/** Rekor v1's signed entry timestamp: over the canonical JSON of body, time, index and log (sigstore/rekor: openapi.yaml). */
function verifyPromise(entry: ForeignEntry, log: RootLog): number {
  const integratedTime = Number(entry.integratedTime ?? '0');
  const text = canonicalJson({ body: entry.canonicalizedBody.toString('base64'), integratedTime, logIndex: Number(entry.logIndex), logID: entry.logId.keyId.toString('hex') });
  if (integratedTime === 0 || entry.inclusionPromise === undefined || !holds(text, log.key, entry.inclusionPromise.signedEntryTimestamp)) throw refuse('promise-invalid', `the promise of the log ${log.host} does not hold`);
  return integratedTime;
}

/**
 * A checkpoint of another's log. The name that signs is the host of the log's address and the origin is that name, which
 * Rekor v1 follows by its tree's number. (The library takes any part of the address for the name.)
 */
function readForeignCheckpoint(envelope: string, log: RootLog): { size: number; root: Buffer } {
  const { text, signatures } = parseNote(envelope);
  const [origin = '', size = '', root = ''] = text.split('\n');
  const hash = Buffer.from(root, 'base64');
  if (!/^(0|[1-9][0-9]{0,15})$/.test(size) || hash.byteLength !== 32 || hash.toString('base64') !== root) throw malformed('checkpoint-malformed', 'the bundle is refused: not a checkpoint');
  if (!log.names.some((name) => origin === name || (origin.startsWith(`${name} - `) && /^[0-9]{1,20}$/.test(origin.slice(name.length + 3))))) throw refuse('checkpoint-origin', `the checkpoint is of the log ${origin}, not of ${log.host}`);
  const id = log.id.subarray(0, 4).toString('hex');
  const own = signatures.filter((one) => log.names.includes(one.name) && one.id === id);
  if (!own.some((one) => holds(Buffer.from(text), log.key, one.signature))) throw refuse('checkpoint-signature', `the checkpoint is not signed by the key of ${log.host}`);
  return { size: Number(size), root: hash };
}

/** For people; a number that no calendar has stays one. */
export function when(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString();
}

function holds(text: Buffer, key: KeyObject, signature: Buffer): boolean {
  return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', text, key, signature);
}

function refuse(reason: Parameters<typeof verificationFailed>[0], why: string): Error {
  return verificationFailed(reason, `the bundle is refused: ${why}`);
}
