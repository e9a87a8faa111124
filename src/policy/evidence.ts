import type { Facts } from '#attest';
import type { Digest } from '#core';

/** Who signed: a key, or an OpenID Connect identity that a certificate proved. */
export type EvidenceSigner = { readonly kind: 'key'; readonly key: string } | { readonly kind: 'identity'; readonly issuer: string; readonly subject: string };

/** A statement whose signature and log proof have been verified; what it says has not been believed yet. */
export interface EvidenceStatement {
  /** Of the envelope in our log; for what another tool signed, of the `foreign` statement that holds it. */
  readonly envelope: Digest;
  readonly predicateType: string;
  readonly subjects: readonly Digest[];
  readonly signer: EvidenceSigner;
  /** Where our log first proves the signature. */
  readonly logIndex: number;
  /** Seconds since 1970: that entry's time in the log. */
  readonly time: number;
  readonly says: Says;
}

export interface BilledPackage {
  readonly purl: string;
  readonly name: string;
  readonly version: string;
  readonly licenses: readonly string[];
}

export type Severity = 'none' | 'low' | 'medium' | 'high' | 'critical' | 'unknown';

export interface Vulnerability {
  readonly id: string;
  /** purl; empty where the report names none. */
  readonly package: string;
  readonly severity: Severity;
  /** CVSS base score; null where the report has none. */
  readonly score: number | null;
  /** First version without it; null where there is none. */
  readonly fixed: string | null;
}

/** The facts of a statement that a rule reads. */
export type Says =
  | { readonly kind: 'provenance'; readonly commit: string; readonly source: string; readonly builder: string; readonly changes: string | null }
  | { readonly kind: 'sbom'; readonly packages: readonly BilledPackage[] }
  | { readonly kind: 'tests'; readonly result: 'PASSED' | 'WARNED' | 'FAILED'; readonly passed: number | null; readonly failed: number | null }
  | { readonly kind: 'scan'; readonly scanner: string; readonly finished: number | null; readonly vulnerabilities: readonly Vulnerability[] }
  | { readonly kind: 'findings'; readonly tool: string; readonly findings: readonly { readonly rule: string; readonly level: 'none' | 'note' | 'warning' | 'error' }[] }
  | { readonly kind: 'approval'; readonly application: string; readonly environment: string; readonly by: string; readonly expires: number }
  | { readonly kind: 'break-glass'; readonly application: string; readonly environment: string; readonly by: string; readonly reason: string; readonly expires: number }
  /** Somebody signed the digest and said no more (`cosign sign`). */
  | { readonly kind: 'signature' };

/** Facts beside the statements (see `Facts`, which a verdict records), and the statements. */
export interface Evidence extends Facts {
  readonly statements: readonly EvidenceStatement[];
}

export interface Question {
  readonly environment: string;
  readonly direction: 'promote' | 'rollback';
  /** Name of the person who asks. */
  readonly by: string;
  /** Seconds since 1970, by the log's clock. */
  readonly time: number;
}
