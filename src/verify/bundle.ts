import { createPublicKey, type KeyObject } from 'node:crypto';
import { envelopeDigest, pae, parseStatement, payloadOf, verifyEnvelope, type Bundle, type Statement } from '#attest';
import { verificationFailed, type CairnError, type Digest, type Reason } from '#core';
import { entryBody, inclusionRoot, leafHash, logIdOf, readCheckpoint, type LogVerifier } from '#log';
import { keyHint } from '#sign';

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
  const { hint } = bundle.verificationMaterial.publicKey;
  const [spki, key] = findKey(hint, options.keys);
  if (!verifyEnvelope(envelope, key)) throw failed('signature-invalid', 'the signature does not belong to the statement');

  const [entry] = bundle.verificationMaterial.tlogEntries;
  const { log } = options;
  if (entry.logId.keyId !== logIdOf(log.origin, log.log).toString('base64')) throw failed('log-unknown', 'the entry is of an unknown log');
  const body = entryBody(pae(envelope.payloadType, payloadOf(envelope)), envelope.signatures[0].sig, Buffer.from(spki, 'base64'));
  if (body.toString('base64') !== entry.canonicalizedBody) throw failed('entry-mismatch', 'the log entry is of another statement');

  const proof = entry.inclusionProof;
  const checkpoint = readCheckpoint(proof.checkpoint.envelope, log);
  const sameTree = proof.treeSize === String(checkpoint.size) && proof.rootHash === checkpoint.root.toString('base64') && proof.logIndex === entry.logIndex;
  if (!sameTree) throw failed('proof-invalid', 'the inclusion proof is of another tree than the checkpoint');
  const hashes = proof.hashes.map((hash) => Buffer.from(hash, 'base64'));
  const root = inclusionRoot(leafHash(body), Number(entry.logIndex), checkpoint.size, hashes);
  if (root?.equals(checkpoint.root) !== true) throw failed('proof-invalid', 'the inclusion proof does not lead to the checkpoint');

  const statement = parseStatement(payloadOf(envelope));
  return Object.freeze({ statement, envelope: envelopeDigest(envelope), key: spki, logIndex: Number(entry.logIndex), time: checkpoint.time });
}

function findKey(hint: string, keys: readonly string[]): [string, KeyObject] {
  for (const spki of keys) {
    const key = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
    if (keyHint(key) === hint) return [spki, key];
  }
  throw failed('unknown-key', 'it is signed by an unknown key');
}

function failed(reason: Reason, why: string): CairnError {
  return verificationFailed(reason, `the bundle is refused: ${why}`);
}
