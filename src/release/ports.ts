import type { Bundle, Envelope, Facts, Statement } from '#attest';
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
  /** Percent of new clients that it gets while it is live. */
  readonly share: number;
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
  /** Releases of the application that were revoked. */
  readonly revoked: readonly Digest[];
}

export interface Incident {
  readonly logIndex: number;
  readonly time: number;
  readonly application: string;
  readonly environment: string;
  readonly release: Digest;
  readonly code: string;
  readonly what: string;
  readonly owner: string | null;
  /** How it ended; null while it is open. */
  readonly resolution: string | null;
  readonly resolvedBy: string | null;
}

export interface RevokedKey {
  /** base64 SPKI. */
  readonly key: string;
  /** What it signed up to that log entry still counts; null: nothing does. */
  readonly after: number | null;
  readonly by: string;
  readonly reason: string;
}

export interface RevokedPackage {
  readonly purl: string;
  readonly by: string;
  readonly reason: string;
}

export interface BrokenGlass {
  readonly envelope: Digest;
  readonly environment: string;
  readonly by: string;
  readonly reason: string;
  /** Seconds since 1970. */
  readonly expires: number;
  /** The operation that passed its gate by it; null where none has. */
  readonly usedBy: string | null;
}

/** What a promotion past its gate left to account for. */
export interface Debt {
  /** The first of the break-glass statements that were used: a settlement names it. */
  readonly envelope: Digest;
  readonly time: number;
  readonly application: string;
  readonly environment: string;
  readonly release: Digest;
  /** Who broke the glass, by name, with commas between. */
  readonly by: string;
  readonly reason: string;
  /** Rules that did not hold. */
  readonly rules: readonly string[];
  readonly settledBy: string | null;
}

/** An envelope as it rests, under the digest that the index has for it. */
export interface Stored {
  readonly digest: Digest;
  readonly logIndex: number;
  readonly predicateType: string;
  readonly key: string;
  readonly body: string;
}

/**
 * What must still be so when a commit is written, else it is `conflict`: the head of a timeline, the digest of the policy in force, and that
 * nothing was revoked behind the first `size` entries of the log.
 */
export type Expectation =
  | { readonly application: string; readonly environment: string; readonly head: number; readonly policy?: Digest; readonly size?: number }
  | { readonly policy: Digest };

/**
 * Truth and index. `commit` is one durable transaction: append, timeline head and index become visible together or not at
 * all, and it returns after fsync. Writers are serialised; a `head` that has moved is `conflict` with nothing written.
 * Calls that come together share a transaction and stay apart: what is wrong with one is nothing to the others.
 * Statements that were committed before are not written again: their first entries are returned, so that retrying is safe.
 */
export interface Ledger {
  commit(statements: readonly SignedStatement[], expect?: Expectation): Promise<readonly Logged[]>;
  /** Statements that count, of one predicate type, with the digest as a subject, in log order. */
  about(subject: Digest, predicateType: string): Promise<readonly Logged[]>;
  timeline(application: string, environment: string): Promise<Timeline>;
  timelines(): Promise<readonly Timeline[]>;
  /** The environments in which the release was ever confirmed, and when first, in seconds since 1970. */
  confirmedIn(application: string, release: Digest): Promise<readonly { readonly environment: string; readonly time: number }[]>;
  incidents(): Promise<readonly Incident[]>;
  revocations(): Promise<{ readonly keys: readonly RevokedKey[]; readonly packages: readonly RevokedPackage[] }>;
  /** Oldest first, used or not, expired or not. */
  brokenGlass(application: string, release: Digest): Promise<readonly BrokenGlass[]>;
  /** Oldest first, settled ones too. */
  debts(): Promise<readonly Debt[]>;
  /** Size and time of the newest checkpoint; zeros while the log is empty. */
  newest(): Promise<{ readonly size: number; readonly time: number }>;
  /** By digest. @throws CairnError `storage` where the ledger lacks it */
  logged(digest: Digest): Promise<Logged>;
  /** As they rest in the ledger, of several subjects and types, in log order: nothing is proven yet. @throws CairnError `verification-failed` where an envelope is gone that the log names */
  stored(subjects: readonly Digest[], predicateTypes: readonly string[]): Promise<readonly Stored[]>;
  revisionOf(operation: string): Promise<Revision | undefined>;
  verdictOf(operation: string): Promise<Logged | undefined>;
  /** Sequence of the last line of the runner's journal that an outcome of the place records. */
  journalCursor(application: string, environment: string): Promise<number>;
  policy(): Promise<Policy>;
}

/**
 * Those whom the policy names to look at the log. They may be away: `covering` answers within the limit with what is known by then, and never throws for them. Who is away
 * and who turned us down for asking too much are told apart.
 */
export interface Witnesses {
  /** Which of them cosigned a checkpoint of at least `size` entries; asks those that did not until `threshold` have. */
  covering(size: number, threshold: number, limitMs: number): Promise<Pick<Facts, 'witnessed' | 'sources'>>;
}

export interface Registry {
  /** The release document, every hash from the index down to it checked. @throws CairnError `not-found`, `digest-mismatch` */
  document(application: string, release: Digest): Promise<ReleaseDocument>;
  /** Reads every blob of the release again. @throws CairnError `digest-mismatch`, `not-found` */
  rehash(application: string, release: Digest): Promise<{ readonly blobs: number; readonly bytes: number }>;
  /** Verifies every byte and unpacks; answers the folder. The same release again is a look. */
  unpack(application: string, component: Digest): Promise<string>;
  /** Makes the statement findable beside what it speaks of. Idempotent. */
  attach(application: string, statement: Logged): Promise<void>;
}

/** One component as it is started; see the runner's protocol, which has the same shape. */
export interface LaunchComponent {
  readonly name: string;
  readonly kind: 'web' | 'worker' | 'cron' | 'task' | 'files';
  readonly directory: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly health: Health | null;
  readonly instances: number;
  readonly routes: readonly { readonly host: string | null; readonly path: string }[];
  readonly schedule: string | null;
  readonly overlap: boolean;
  readonly timeoutMs: number | null;
  readonly data: readonly string[];
  readonly limits: { readonly memoryMb: number | null; readonly cpus: number | null } | null;
  readonly runtime: { readonly path: string; readonly digest: Digest } | null;
}

interface Timing {
  readonly intervalMs: number;
  readonly threshold: number;
  readonly deadlineMs: number;
}
type Health = (Timing & { readonly path: string }) | (Timing & { readonly tcp: true });

export interface Launch {
  readonly components: readonly LaunchComponent[];
  readonly schema: { readonly component: string; readonly command: readonly string[] | null; readonly file: string | null } | null;
}

/** Values of secrets, by version, encrypted where they rest. No statement, error or log ever holds one. */
export interface Secrets {
  /** @throws CairnError `secret-missing` */
  read(application: string, environment: string, name: string, version: number): Promise<string>;
  /** Newest version of each. */
  latest(application: string, environment: string): Promise<Readonly<Record<string, number>>>;
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
  readonly to: Digest;
  readonly milliseconds: number;
  /** Null for a promotion. */
  readonly restores: number | null;
  readonly reason: string | null;
  readonly by: string | null;
}

/** Content that a timeline can return to, and the revision that its content comes from. */
export interface Way {
  readonly content: Digest;
  readonly release: Digest;
  readonly restores: number;
}

export interface Watched {
  readonly state: 'held' | 'reverted' | 'stopped' | 'unwatched';
  readonly sequence: number | null;
  readonly reason: string | null;
}

type Timed = Omit<Place, 'operation' | 'release'>;

/**
 * The data plane. `switch` is durable in its own journal before traffic moves, is idempotent by operation, and answers
 * `conflict` with nothing moved where what is live is not what the caller expected. By itself it reverts a watched promotion,
 * and rolls back for a person while the control server is away; its journal tells of both.
 */
export interface Gateway {
  prepare(request: Place & { readonly launch: Launch; readonly tasks: boolean }): Promise<Prepared>;
  probe(request: Timed): Promise<{ readonly healthy: boolean }>;
  /** The schema that the data has, by the release's own word; null where there is no data yet. */
  schema(request: Omit<Place, 'operation'> & { readonly launch: Launch }): Promise<{ readonly version: number | null }>;
  switch(request: Place & {
    readonly revision: number; readonly expected: Digest | null; readonly restores: number | null; readonly reason: string | null; readonly by: string | null;
    readonly share: number; readonly watchMs: number | null;
  }): Promise<Switched>;
  /** Answers when the watch of that promotion has ended. */
  watch(request: { readonly operation: string; readonly application: string; readonly environment: string }): Promise<Watched>;
  traffic(request: Omit<Place, 'release'> & { readonly share: number }): Promise<void>;
  /** What serves there now. */
  live(request: { readonly application: string; readonly environment: string }): Promise<{ readonly content: Digest; readonly share: number } | null>;
  /** What it may return to by itself, best first, and who may ask it to. */
  plan(request: { readonly application: string; readonly environment: string; readonly mayRollBack: readonly string[]; readonly ways: readonly Way[] }): Promise<void>;
  retire(request: Timed): Promise<void>;
  /** The switches behind the sequence number, oldest first. */
  switches(after: number): Promise<readonly JournalledSwitch[]>;
}
