import { CairnError, type ErrorDetails } from './errors.ts';

/**
 * Why a document was not believed: the finer, stable word beside the codes `verification-failed` and `malformed-document`, in
 * `context.reason`. Rooms below and above `verify` give reasons, hence the union stands here. A test that refuses for another
 * reason than the one it was written for has found nothing.
 */
export type Reason =
  // The form of a document.
  | 'too-large' | 'too-deep' | 'not-json' | 'duplicate-key' | 'bundle-malformed' | 'bundle-version' | 'statement-malformed' | 'payload-type' | 'root-malformed'
  // Who signed what.
  | 'unknown-key' | 'unsupported-key' | 'signature-invalid' | 'signature-count' | 'certificate-malformed' | 'certificate-chain' | 'certificate-untrusted' | 'certificate-time' | 'sct-invalid'
  | 'identity-mismatch' | 'issuer-mismatch' | 'subject-mismatch' | 'predicate-mismatch' | 'digest-mismatch'
  // When.
  | 'timestamp-missing' | 'timestamp-invalid' | 'timestamp-twice'
  // What rests in the ledger.
  | 'envelope-missing' | 'envelope-altered'
  // What was taken back.
  | 'key-revoked' | 'release-revoked' | 'package-revoked'
  // In which log.
  | 'log-entry-missing' | 'log-unknown' | 'log-twice' | 'log-key-validity' | 'entry-unsupported' | 'entry-mismatch' | 'promise-invalid' | 'proof-missing' | 'proof-invalid' | 'proof-malformed'
  | 'checkpoint-malformed' | 'checkpoint-origin' | 'checkpoint-signature' | 'checkpoint-time'
  // What a log, or a witness of one, said before and says now.
  | 'log-fork' | 'log-rewrite' | 'log-rewind' | 'log-stale' | 'witness-equivocation' | 'witness-rewind' | 'not-witnessed' | 'nothing-proven' | 'cosignature-invalid' | 'vkey-malformed' | 'evidence-malformed'
  // The chain of trust files.
  | 'rotation-invalid'
  // Versions of the policy.
  | 'genesis-policy' | 'policy-quorum' | 'policy-rewound' | 'stale-policy'
  // A capsule: its archive, what it stands on, what it holds, and the decisions in it.
  | 'capsule-damaged' | 'trust-missing' | 'trust-other' | 'stray-file' | 'release-malformed' | 'other-release' | 'signer-not-allowed'
  | 'evidence-set' | 'fact-mismatch' | 'verdict-differs' | 'verdict-time' | 'request-mismatch';

/** It can be read, but it must not be believed. */
export function verificationFailed(reason: Reason, message: string, details: ErrorDetails = {}): CairnError {
  return new CairnError('verification-failed', message, { ...details, context: { ...details.context, reason } });
}

/** It cannot be read, or not in one way only. */
export function malformed(reason: Reason, message: string, details: ErrorDetails = {}): CairnError {
  return new CairnError('malformed-document', message, { ...details, context: { ...details.context, reason } });
}
