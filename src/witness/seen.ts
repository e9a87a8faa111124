import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { CairnError, type Faults } from '#core';

/** The newest tree of a log that this witness vouched for. */
export interface SeenTree {
  readonly size: number;
  readonly root: Buffer;
  /** Seconds since 1970: when it was cosigned last. */
  readonly time: number;
  /** The checkpoint as the log signed it. */
  readonly checkpoint: string;
}

/**
 * What a witness remembers, and all that it is worth: by origin the newest tree. `advance` compares and writes in one transaction that is on the disk when it
 * returns, so that neither a racing request, nor a second process on the folder, nor a crash ever has two trees cosigned that do not continue each other.
 */
export interface SeenTrees {
  get(origin: string): SeenTree | undefined;
  all(): readonly (SeenTree & { readonly origin: string })[];
  /** @param decide sees what is stored now; what it returns is stored, unless it is undefined */
  advance(origin: string, decide: (stored: SeenTree | undefined) => SeenTree | undefined): void;
  close(): void;
}

interface Row {
  origin: string;
  size: number;
  root: Uint8Array;
  time: number;
  checkpoint: string;
}

/** In SQLite: WAL with synchronous=FULL, a commit has reached the disk when it returns. @throws CairnError `storage` */
export function openSeen(path: string, faults: Faults): SeenTrees {
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof CairnError) throw cause;
      throw new CairnError('storage', `what the witness remembers, ${path}, cannot be used: ${(cause as Error).message}`, {
        cause, fix: 'Do not start it empty: a witness that forgot may vouch for two histories. Restore the newest copy of its folder, or begin a new witness with a new key',
      });
    }
  };
  closeSync(openSync(path, 'a', 0o600));
  const database = guarded(() => {
    const opened = new DatabaseSync(path);
    opened.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000;');
    opened.exec('create table if not exists seen (origin text primary key, size integer not null, root blob not null, time integer not null, checkpoint text not null) strict');
    return opened;
  });
  const select = database.prepare('select * from seen where origin = ?');
  const write = database.prepare('insert into seen (origin, size, root, time, checkpoint) values (?, ?, ?, ?, ?) on conflict (origin) do update set size = excluded.size, root = excluded.root, time = excluded.time, checkpoint = excluded.checkpoint');
  const get = (origin: string) => {
    const row = select.get(origin) as Row | undefined;
    return row === undefined ? undefined : treeOf(row);
  };
  return {
    get: (origin) => guarded(() => get(origin)),
    all: () => guarded(() => (database.prepare('select * from seen order by origin').all() as unknown as Row[]).map((row) => ({ ...treeOf(row), origin: row.origin }))),
    advance: (origin, decide) =>
      guarded(() => {
        database.exec('BEGIN IMMEDIATE');
        try {
          const next = decide(get(origin));
          faults.point('witness write');
          if (next !== undefined) write.run(origin, next.size, next.root, next.time, next.checkpoint);
          faults.point('witness commit');
          database.exec('COMMIT');
          faults.point('witness committed');
        } catch (error) {
          if (database.isTransaction) database.exec('ROLLBACK');
          throw error;
        }
      }),
    close: () => database.close(),
  };
}

function treeOf({ size, root, time, checkpoint }: Row): SeenTree {
  return { size, root: Buffer.from(root), time, checkpoint };
}
