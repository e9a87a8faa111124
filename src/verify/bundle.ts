import { verify } from 'node:crypto';
import { envelopeDigest, pae, parseStatement, payloadOf, type Bundle, type Statement } from '#attest';
import { verificationFailed, type CairnError, type Digest, type Reason } from '#core';
import { entryBody, inclusionRoot, leafHash, type LogVerifier } from '#log';
import { knownKey, type KnownKey } from './known-keys.ts';
import { knownLog } from './known-logs.ts';

export interface VerifyOptions {
  readonly log: LogVerifier;
  /** base64 SPKI of the keys that may have signed, by whatever authority the caller has. */
  readonly keys: readonly string[];
}

/** What a bundle proves: this statement was signed by this key and stands in the log at this index since this time. */
export interface Verified {
  readonly statement: Statement;
  readonly envelope: Digest;
  /** base64 SPKI. */
  readonly key: string;
  readonly logIndex: number;
  /** Seconds since 1970, by the log's cosignature on the checkpoint. */
  readonly time: number;
}

/**
 * Verifies a bundle from its bytes (sigstore/architecture-docs: client-spec.md section 4, for keys):
 * the key, the signature, the leaf rebuilt from the envelope, its inclusion, the checkpoint.
 * @throws CairnError `verification-failed`, saying which step failed. Nothing is taken from the entry that can be rebuilt, so
 * that a log entry of another bundle spliced into this one is refused.
 */
export function verifyBundle(bundle: Bundle, options: VerifyOptions): Verified {
  const envelope = bundle.dsseEnvelope;
  const { spki, der, key } = findKey(bundle.verificationMaterial.publicKey.hint, options.keys);
  const payload = payloadOf(envelope);
  const signed = pae(envelope.payloadType, payload);
  const [{ sig }] = envelope.signatures;
  if (!verify('sha256', signed, key, Buffer.from(sig, 'base64'))) throw failed('signature-invalid', 'the signature does not belong to the statement');

  const [entry] = bundle.verificationMaterial.tlogEntries;
  const log = knownLog(options.log);
  if (!log.ids.has(entry.logId.keyId)) throw failed('log-unknown', 'the entry is of an unknown log');
  const body = entryBody(signed, sig, der);
  if (body.toString('base64') !== entry.canonicalizedBody) throw failed('entry-mismatch', 'the log entry is of another statement');

  const proof = entry.inclusionProof;
  const checkpoint = log.checkpoint(proof.checkpoint.envelope);
  if (checkpoint.logId !== entry.logId.keyId) throw failed('log-unknown', "the entry names another of the log's keys than the one that signed");
  const sameTree = proof.treeSize === String(checkpoint.size) && proof.rootHash === checkpoint.root.toString('base64') && proof.logIndex === entry.logIndex;
  if (!sameTree) throw failed('proof-invalid', 'the inclusion proof is of another tree than the checkpoint');
  const hashes = proof.hashes.map((hash) => Buffer.from(hash, 'base64'));
  const root = inclusionRoot(leafHash(body), Number(entry.logIndex), checkpoint.size, hashes);
  if (root?.equals(checkpoint.root) !== true) throw failed('proof-invalid', 'the inclusion proof does not lead to the checkpoint');

  const statement = parseStatement(payload);
  return Object.freeze({ statement, envelope: envelopeDigest(envelope), key: spki, logIndex: Number(entry.logIndex), time: checkpoint.time });
}

function findKey(hint: string, keys: readonly string[]): KnownKey {
  for (const spki of keys) {
    const known = knownKey(spki);
    if (known.hint === hint) return known;
  }
  throw failed('unknown-key', 'it is signed by an unknown key');
}

function failed(reason: Reason, why: string): CairnError {
  return verificationFailed(reason, `the bundle is refused: ${why}`);
}
