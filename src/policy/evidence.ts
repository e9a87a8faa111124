import type { Digest } from '#core';

/** A statement whose signature and log proof have been verified; what it says has not been believed yet. */
export interface EvidenceStatement {
  readonly envelope: Digest;
  readonly predicateType: string;
  readonly subjects: readonly Digest[];
  /** base64 SPKI of the key that signed. */
  readonly key: string;
  readonly logIndex: number;
  /** Seconds since 1970: the entry's time in the log. */
  readonly time: number;
  readonly says: Says;
}

/** The facts of a statement that a rule reads. */
export type Says =
  | { readonly kind: 'provenance'; readonly commit: string; readonly source: string; readonly builder: string; readonly changes: string | null }
  | { readonly kind: 'sbom'; readonly packages: number }
  | { readonly kind: 'tests'; readonly result: 'PASSED' | 'WARNED' | 'FAILED'; readonly passed: number | null }
  | { readonly kind: 'approval'; readonly application: string; readonly environment: string; readonly by: string; readonly expires: number };

export interface Evidence {
  readonly release: Digest;
  readonly application: string;
  readonly commit: string;
  /** The source that the release declares; null where it declares none. */
  readonly source: string | null;
  /** The tree that was built, where it is not the commit's. */
  readonly changes: string | null;
  /** Digests of the components. */
  readonly components: readonly Digest[];
  readonly statements: readonly EvidenceStatement[];
  /** Environments in which this release was confirmed, and when first. */
  readonly confirmedIn: readonly { readonly environment: string; readonly time: number }[];
  readonly quarantined: boolean;
  /** Why it was revoked, and by whom. */
  readonly revoked: { readonly by: string; readonly reason: string } | null;
  /** What the data says against what the release declares; null before anything was asked, and where nothing is declared. */
  readonly schema: { readonly version: number | null; readonly minimum: number; readonly maximum: number } | null;
}

export interface Question {
  readonly environment: string;
  readonly direction: 'promote' | 'rollback';
  /** Name of the person who asks. */
  readonly by: string;
  /** Seconds since 1970, by the log's clock. */
  readonly time: number;
}
