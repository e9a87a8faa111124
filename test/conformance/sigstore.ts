import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf, type Reason } from '#core';
import { parseSigstoreRoot, requireIdentity, requireSubject, seedRoot, verifyForeign } from '#verify';

// The cases of sigstore/sigstore-conformance: each bundle is asked for by the artifact's path and by its digest.

export const folder = join(import.meta.dirname, '../../../shared/data/sigstore-conformance');

/** What each bad case must be refused for: whoever refuses everything is right 98 times of 140. */
const refusals: Readonly<Partial<Record<Reason, readonly string[]>>> = {
  'bundle-malformed': ['bundle-empty-certificate-chain', 'bundle-invalid-base64-signature', 'bundle-negative-log-index', 'rekor2-timestamp-with-incorrect-time'],
  'log-unknown': ['bundle-from-wrong-instance'],
  'not-json': ['bundle-malformed-json'],
  'bundle-version': ['bundle-unknown-version'],
  'certificate-chain': ['bundle-with-root-cert'],
  'checkpoint-signature': ['checkpoint-bad-keyhint', 'invalid-checkpoint-signature'],
  'proof-invalid': ['checkpoint-wrong-roothash', 'inclusion-proof-corrupted-hash'],
  'signature-invalid': ['dsse-invalid-sig', 'message-digest-mismatch', 'rekor2-dsse-invalid-sig', 'signature-mismatch'],
  'entry-mismatch': ['dsse-mismatch-envelope', 'dsse-mismatch-sig', 'incorrect-public-key', 'intoto-log-entry-mismatch', 'rekor2-dsse-mismatch-envelope', 'rekor2-dsse-mismatch-sig', 'wrong-hashedrekord-artifact', 'wrong-hashedrekord-cert-and-sig', 'wrong-hashedrekord-entry'],
  'certificate-time': ['integrated-time-in-future', 'intoto-expired-certificate', 'intoto-set-outside-signing-cert-validity', 'intoto-tsa-timestamp-outside-cert-validity'],
  'proof-missing': ['intoto-missing-inclusion-proof', 'invalid-inclusion-proof', 'rekor2-no-inclusion-proof'],
  'sct-invalid': ['invalid-ct-key'],
  'unknown-key': ['managed-key-no-key'],
  'unsupported-key': ['managed-key-wrong-key'],
  'checkpoint-malformed': ['rekor2-checkpoint-missing-log-signature', 'rekor2-checkpoint-missing-origin', 'rekor2-checkpoint-missing-root-hash', 'rekor2-checkpoint-missing-size'],
  'checkpoint-origin': ['rekor2-checkpoint-no-matching-signature'],
  'timestamp-missing': ['rekor2-no-timestamp'],
  'timestamp-invalid': ['rekor2-timestamp-outside-trust-root-tsa-validity', 'rekor2-timestamp-outside-tsa-cert-validity', 'rekor2-timestamp-payload-mismatch', 'rekor2-timestamp-untrusted-tsa-with-embedded-cert', 'rekor2-timestamp-untrusted-tsa-without-embedded-cert'],
  'promise-invalid': ['set-invalid-signature'],
  'root-malformed': ['trust-root-tlog-missing-validity-start'],
  'subject-mismatch': ['wrong-material'],
};

export const expected: ReadonlyMap<string, Reason> = new Map(Object.entries(refusals).flatMap(([reason, names]) => names.map((name) => [`${name}_fail`, reason as Reason] as const)));

export interface Case {
  readonly name: string;
  readonly by: 'path' | 'digest';
  /** What its authors say. */
  readonly good: boolean;
}

export interface Answer extends Case {
  /** null: accepted. */
  readonly reason: string | null;
  readonly message: string;
}

export function sigstoreCases(): Case[] {
  const bundles = join(folder, 'bundle-verify');
  const names = readdirSync(bundles, { withFileTypes: true }).filter((one) => one.isDirectory()).map((one) => one.name).toSorted();
  return names.flatMap((name) => (['path', 'digest'] as const).map((by) => ({ name, by, good: !name.endsWith('_fail') })));
}

/** Answers one case as `verify-bundle` of cli_protocol.md would. What has no reason is a crash and is thrown on. */
export function answer(one: Case): Answer {
  try {
    verify(one);
    return { ...one, reason: null, message: '' };
  } catch (thrown) {
    const { context, message } = thrown as { context?: { reason?: unknown }; message: string };
    if (typeof context?.reason !== 'string') throw thrown;
    return { ...one, reason: context.reason, message };
  }
}

function verify({ name, by }: Case): void {
  const at = (file: string) => join(folder, 'bundle-verify', name, file);
  const optional = (file: string) => (existsSync(at(file)) ? readFileSync(at(file)) : undefined);
  const artifact = optional('artifact') ?? readFileSync(join(folder, 'bundle-verify/a.txt'));
  const root = optional('trusted_root.json');
  const key = optional('key.pub');
  const verified = verifyForeign(readFileSync(at('bundle.sigstore.json')), {
    root: root === undefined ? seedRoot() : parseSigstoreRoot(root),
    keys: key === undefined ? [] : [key.toString().replaceAll(/-----[A-Z ]+-----|\s/g, '')],
  });
  if (key === undefined) {
    requireIdentity(verified, {
      subject: optional('identity')?.toString().trim() ?? 'https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main',
      issuer: optional('issuer')?.toString().trim() ?? 'https://token.actions.githubusercontent.com',
    });
  }
  requireSubject(verified, by === 'path' ? digestOf(artifact) : `sha256:${createHash('sha256').update(artifact).digest('hex')}`);
}
