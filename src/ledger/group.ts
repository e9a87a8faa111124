import { predicateTypes } from '#attest';
import { CairnError, type Digest } from '#core';
import type { RekorEntry } from '#log';
import type { Expectation } from '#release';
import type { Signer } from '#sign';
import { Draft, type Appender, type Incoming } from './append.ts';
import { fold, type Entry } from './fold.ts';
import type { Database } from './schema.ts';
import type { Connection } from './sqlite.ts';
import { leafOf, type Leaf, type Truth } from './truth.ts';

// Group commit. Who comes while a transaction runs is written by the next one, all together: one ingest, one checkpoint, one fsync.
// Each call stays a whole of its own by a savepoint: what is wrong with one is nothing to the others. Callers are answered when the
// transaction is on the disk. A crash anywhere leaves the log as it was before or as it is after, since all is one transaction.

/** How much one transaction takes, so that nobody waits long and memory is bounded: statements, entries of others, bytes. */
const mostStatements = 512;
const mostEntries = 512;
const mostBytes = 8 << 20;

interface Call<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

interface StatementCall extends Call<Written[]> {
  readonly statements: readonly Incoming[];
  readonly expect: Expectation | undefined;
  readonly rotation?: Rotation;
}

/** The log's next key, which signs from this transaction on, and the size at which the one before it stops. */
export interface Rotation {
  readonly size: number;
  readonly log: Signer;
}

interface EntryCall extends Call<Placed> {
  readonly leaf: Leaf;
  readonly key: string;
}

/** Where something is in the log. `fresh`: this transaction put it there, and the checkpoint covers it first. */
export interface Placed {
  readonly logIndex: number;
  readonly fresh: { readonly size: number; readonly note: string; readonly time: number } | undefined;
}

/** A statement of a call; `logIndex` is undefined where it counted before. */
export type Written = Incoming & (Placed | { readonly logIndex: undefined });

export interface GroupOptions {
  readonly database: Database;
  readonly connection: Connection;
  readonly truth: Truth;
  /** Asked at each transaction: a key may be another one than before. */
  readonly appender: () => Appender;
  readonly place: (entry: Entry) => void;
  /** base64 SPKI of the keys by which the server itself speaks: nobody else logs in their name. */
  readonly own: ReadonlySet<string>;
  /** A checkpoint is on the disk. */
  readonly durable: (checkpoint: { size: number; note: string }) => void;
  /** Keeps two writers of this process apart. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
}

export class GroupCommit {
  readonly #options: GroupOptions;
  readonly #savepoint;
  readonly #release;
  readonly #rollback;
  #statements: StatementCall[] = [];
  #entries: EntryCall[] = [];
  #running = false;
  #size: number | undefined;

  constructor(options: GroupOptions) {
    this.#options = options;
    const { prepare } = options.connection;
    this.#savepoint = prepare('savepoint call');
    this.#release = prepare('release call');
    this.#rollback = prepare('rollback to call');
  }

  /** Logs and counts them all, or none. @throws CairnError `conflict` where what is expected does not hold */
  async commit(statements: readonly Incoming[], expect?: Expectation, rotation?: Rotation): Promise<Written[]> {
    return new Promise((resolve, reject) => {
      this.#statements.push({ statements, expect, resolve, reject, ...(rotation !== undefined && { rotation }) });
      this.#start();
    });
  }

  /** Logs a leaf that counts for nothing. @throws CairnError `refused` where it is in our own name */
  async log({ body, key }: RekorEntry): Promise<Placed> {
    return new Promise((resolve, reject) => {
      this.#entries.push({ leaf: leafOf(body), key, resolve, reject });
      this.#start();
    });
  }

  /** How many entries of others wait. */
  get waiting(): number {
    return this.#entries.length;
  }

  #start(): void {
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (this.#statements.length + this.#entries.length > 0) {
      // Those who were just answered, and what waits in the sockets, come first, and are written together.
      await new Promise(setImmediate);
      const statements = this.#take();
      // Others get what room there is, and never hold up what counts.
      const entries = statements[0]?.rotation === undefined ? this.#entries.splice(0, mostEntries) : [];
      try {
        const tell = await this.#options.exclusively(() => this.#write(statements, entries));
        tell();
      } catch (error) {
        // Nothing is known of what the disk has: read again, and the callers ask again, which is safe.
        this.#options.truth.tree.forget();
        this.#size = undefined;
        for (const one of [...statements, ...entries]) one.reject(error);
      }
    }
    this.#running = false;
  }

  #take(): StatementCall[] {
    let [count, bytes, calls] = [0, 0, 0];
    for (const { statements, rotation } of this.#statements) {
      // A new key begins with a transaction of its own.
      if (rotation !== undefined && calls > 0) break;
      count += statements.length;
      for (const { text } of statements) bytes += text.length;
      if (calls > 0 && (count > mostStatements || bytes > mostBytes)) break;
      calls++;
      if (rotation !== undefined) break;
    }
    return this.#statements.splice(0, calls);
  }

  /** @returns what tells the callers; called when the transaction is on the disk. */
  async #write(statements: readonly StatementCall[], entries: readonly EntryCall[]): Promise<() => void> {
    const { database, truth, own, durable } = this.#options;
    const rotation = statements[0]?.rotation;
    const current = this.#options.appender();
    const appender = rotation === undefined ? current : { ...current, keys: { ...current.keys, log: rotation.log } };
    const results: ((fresh: Placed['fresh']) => void)[] = [];
    const written = await database.transaction().execute(async (transaction) => {
      const size = truth.size();
      if (size !== this.#size) truth.tree.forget();
      if (rotation !== undefined && rotation.size !== size) throw new CairnError('conflict', `the log has grown from ${rotation.size} to ${size} entries`, { fix: 'Ask again', retryable: true, context: { size } });
      // The log's time never goes back, whatever the machine's clock does.
      const time = Math.max(Math.floor(appender.clock.now().getTime() / 1000), truth.lastTime());
      const draft = new Draft(truth, size);
      for (const call of statements) {
        const undo = draft.mark();
        this.#savepoint.run();
        try {
          const placed = await this.#place(transaction, call, draft, time);
          results.push((fresh) => call.resolve(placed.map(({ one, logIndex }) => (logIndex === undefined ? { ...one, logIndex } : { ...one, logIndex, fresh: logIndex < size ? undefined : fresh }))));
        } catch (error) {
          this.#undo(error);
          undo();
          results.push(() => call.reject(error));
        }
        this.#release.run();
      }
      for (const { leaf, key, resolve, reject } of entries) {
        const logIndex = own.has(key) && draft.find(leaf) === undefined ? undefined : draft.add(leaf);
        if (logIndex === undefined) results.push(() => reject(new CairnError('refused', 'this key speaks for the server, which logs for itself', { fix: 'Sign with a key of your own' })));
        else results.push((fresh) => resolve({ logIndex, fresh: logIndex < size ? undefined : fresh }));
      }
      const checkpoint = await draft.write(appender, time);
      return { size: checkpoint?.size ?? size, fresh: checkpoint === undefined ? undefined : { ...checkpoint, time } };
    });
    this.#size = written.size;
    if (written.fresh !== undefined) durable({ size: written.fresh.size, note: written.fresh.note });
    return () => {
      for (const tell of results) tell(written.fresh);
    };
  }

  /** A full disk ends the whole transaction by itself: then there is nothing to go back to, and the others fail of the same. */
  #undo(error: unknown): void {
    try {
      this.#rollback.run();
    } catch {
      throw error;
    }
  }

  /** One call: what it expects, and its statements in their places. Those that count already are left as they are. */
  async #place(transaction: Database, { statements, expect }: StatementCall, draft: Draft, time: number): Promise<{ one: Incoming; logIndex: number | undefined }[]> {
    const { truth, place } = this.#options;
    const placed: { one: Incoming; logIndex: number | undefined }[] = [];
    let expected = expect === undefined;
    for (const one of statements) {
      const here = draft.indexOf(one.digest);
      if (here !== undefined || truth.hasEnvelope(one.digest)) {
        placed.push({ one, logIndex: here });
        continue;
      }
      if (!expected) await requireExpected(transaction, expect);
      expected = true;
      const logIndex = draft.count(one);
      const entry: Entry = { logIndex, digest: one.digest, time, key: one.key, statement: one.statement };
      place(entry);
      await fold(transaction, entry);
      placed.push({ one, logIndex });
    }
    return placed;
  }
}

async function requireExpected(transaction: Database, expect: Expectation | undefined): Promise<void> {
  if (expect?.policy !== undefined) await requirePolicy(transaction, expect.policy);
  if (expect === undefined || !('environment' in expect)) return;
  if (expect.size !== undefined) await requireUnrevoked(transaction, expect.size);
  const row = await transaction.selectFrom('revisions').select((all) => all.fn.max('number').as('number')).where('application', '=', expect.application).where('environment', '=', expect.environment).executeTakeFirst();
  const head = row?.number ?? 0;
  if (head !== expect.head) throw new CairnError('conflict', `${expect.environment} has moved from revision ${expect.head} to ${head}; nothing was switched`, { fix: 'cairn status, then decide again' });
}

/** A verdict that was decided before a revocation must not be logged behind it: "at the next decision" would be the one after it. */
async function requireUnrevoked(transaction: Database, size: number): Promise<void> {
  const revocations = [predicateTypes.revocation, predicateTypes.keyRevocation, predicateTypes.packageRevocation];
  const row = await transaction.selectFrom('statements').select('idx').where('idx', '>=', size).where('predicate_type', 'in', revocations).limit(1).executeTakeFirst();
  if (row !== undefined) throw new CairnError('conflict', 'something was revoked meanwhile; nothing was written', { fix: 'Ask again: it is decided under the revocation', retryable: true });
}

/** A verdict under a policy that is not in force any more would admit by rules that were given up. */
async function requirePolicy(transaction: Database, expected: Digest): Promise<void> {
  const row = await transaction.selectFrom('policies').select('digest').orderBy('idx', 'desc').limit(1).executeTakeFirst();
  if (row?.digest !== expected) throw new CairnError('conflict', 'another policy came into force meanwhile; nothing was written', { fix: 'Ask again: it is decided by the policy in force', retryable: true });
}

