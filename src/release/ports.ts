import type { Bundle, Envelope, Statement } from '#attest';
import type { Digest } from '#core';
import type { Policy } from '#policy';
import type { ReleaseDocument } from './document.ts';
import type { State } from './lifecycle.ts';

export interface SignedStatement {
  readonly envelope: Envelope;
  /** base64 SPKI of the key that signed. */
  readonly key: string;
}

/** A statement that counts: its leaf is in the log and an ingest statement names it. */
export interface Logged extends SignedStatement {
  readonly digest: Digest;
  readonly logIndex: number;
  readonly statement: Statement;
  /** Envelope, inclusion proof and the first checkpoint that covers the entry. */
  readonly bundle: Bundle;
  /** Seconds since 1970: the entry's time, said by that checkpoint. */
  readonly time: number;
}

export interface Revision {
  readonly application: string;
  readonly environment: string;
  readonly number: number;
  readonly state: State;
  readonly operation: string;
  readonly release: Digest;
  readonly content: Digest;
  readonly configuration: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, number>>;
  /** Whether it was ever confirmed: only such revisions are returned to. */
  readonly confirmed: boolean;
  /** The revision whose content this one brings back. */
  readonly restores: number | null;
  readonly by: string;
  readonly reason: string | null;
  readonly verdict: Digest | null;
}

export interface Timeline {
  readonly application: string;
  readonly environment: string;
  /** Number of the newest revision; 0 where there is none. */
  readonly head: number;
  readonly live: Revision | undefined;
  readonly revisions: readonly Revision[];
  /** Releases (or contents, where both sides shared the release) that were rolled back from and not resumed. */
  readonly quarantined: readonly Digest[];
}

/**
 * Truth and index. `commit` is one durable transaction: append, timeline head and index become visible together or not at
 * all, and it returns after fsync. Writers are serialised; a `head` that has moved is `conflict` with nothing written.
 * Statements that were committed before are not written again: their first entries are returned, so that retrying is safe.
 */
export interface Ledger {
  commit(statements: readonly SignedStatement[], expect?: { application: string; environment: string; head: number }): Promise<readonly Logged[]>;
  /** Statements that count, of one predicate type, with the digest as a subject, in log order. */
  about(subject: Digest, predicateType: string): Promise<readonly Logged[]>;
  timeline(application: string, environment: string): Promise<Timeline>;
  timelines(): Promise<readonly Timeline[]>;
  /** Names of the environments in which the release was ever confirmed. */
  confirmedIn(application: string, release: Digest): Promise<readonly string[]>;
  revisionOf(operation: string): Promise<Revision | undefined>;
  verdictOf(operation: string): Promise<Logged | undefined>;
  /** Sequence of the last line of the runner's journal that an outcome of the place records. */
  journalCursor(application: string, environment: string): Promise<number>;
  policy(): Promise<Policy>;
}

export interface Registry {
  /** The release document, every hash from the index down to it checked. @throws CairnError `not-found`, `digest-mismatch` */
  document(application: string, release: Digest): Promise<ReleaseDocument>;
  /** Verifies every byte and unpacks; answers the folder. The same release again is a look. */
  unpack(application: string, component: Digest): Promise<string>;
  /** Makes the statement findable beside what it speaks of. Idempotent. */
  attach(application: string, statement: Logged): Promise<void>;
}

export interface Launch {
  readonly directory: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly health: { readonly path: string; readonly intervalMs: number; readonly threshold: number; readonly deadlineMs: number };
  readonly instances: number;
}

export interface Place {
  readonly operation: string;
  readonly application: string;
  readonly environment: string;
  readonly content: Digest;
  readonly release: Digest;
}

export interface Prepared {
  readonly warm: boolean;
  readonly healthy: number;
  readonly milliseconds: number;
}

export interface Switched {
  readonly sequence: number;
  readonly from: Digest | null;
  readonly to: Digest;
  readonly milliseconds: number;
}

/** A switch that the runner's journal holds. */
export interface JournalledSwitch {
  readonly sequence: number;
  readonly operation: string;
  readonly application: string;
  readonly environment: string;
  readonly milliseconds: number;
  /** Null for a promotion. */
  readonly restores: number | null;
  readonly reason: string | null;
  readonly by: string | null;
}

/**
 * The data plane. `switch` is durable in its own journal before traffic moves, is idempotent by operation, and answers
 * `conflict` with nothing moved where what is live is not what the caller expected.
 */
export interface Gateway {
  prepare(request: Place & { readonly launch: Launch }): Promise<Prepared>;
  probe(request: Omit<Place, 'operation' | 'release'>): Promise<{ readonly healthy: boolean }>;
  switch(request: Place & { readonly revision: number; readonly expected: Digest | null; readonly restores: number | null; readonly reason: string | null; readonly by: string | null }): Promise<Switched>;
  retire(request: Omit<Place, 'operation' | 'release'>): Promise<void>;
  /** The switches behind the sequence number, oldest first. */
  switches(after: number): Promise<readonly JournalledSwitch[]>;
}
