import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from 'node:sqlite';
import { SqliteDialect } from 'kysely';
import type { Faults } from '#core';
import { named } from './trouble.ts';

/** A statement that is prepared once and run on every write: what kysely would build anew each time. */
interface Prepared {
  run(...values: SQLInputValue[]): void;
  get(...values: SQLInputValue[]): Record<string, SQLOutputValue> | undefined;
  all(...values: SQLInputValue[]): Record<string, SQLOutputValue>[];
}

/** kysely and prepared statements on one connection: within a transaction of the one, the others are part of it. */
export interface Connection {
  readonly dialect: SqliteDialect;
  prepare(sql: string): Prepared;
}

/**
 * node:sqlite. WAL with synchronous=FULL: a commit has reached the disk when it returns. Every statement that writes is a place where
 * the tests kill the process, before and after it.
 */
export function openSqlite(path: string, faults: Faults): Connection {
  // For its owner only, since settings stand in it; SQLite gives its other files the same mode.
  if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
  const database = named(() => new DatabaseSync(path));
  // Hashes come in no order, so that every write touches pages all over the file: 16 MiB of them stay in memory, and are written back
  // from a WAL of 16 MiB, many changes at a time.
  const pragmas = () => database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000; PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=4096;');
  named(pragmas);
  const guard = (sql: string) => {
    const writes = /^(insert|update|delete|commit)/i.exec(sql)?.[0];
    return <T>(work: () => T): T => {
      if (writes === undefined) return named(work);
      faults.point(`sql ${writes}`);
      const result = named(work);
      faults.point(`sql ${writes} done`);
      return result;
    };
  };
  const dialect = new SqliteDialect({
    database: {
      close: () => database.close(),
      prepare: (sql) => {
        const statement = named(() => database.prepare(sql));
        const guarded = guard(sql);
        const values = (parameters: readonly unknown[]) => parameters as SQLInputValue[];
        return {
          reader: statement.columns().length > 0,
          all: (parameters) => guarded(() => statement.all(...values(parameters))),
          // A disk that is full ends a transaction by itself. That there is none left to end is no news, and must not be told in place of why.
          run: (parameters) => (/^rollback$/i.test(sql) && !database.isTransaction ? { changes: 0, lastInsertRowid: 0 } : guarded(() => statement.run(...values(parameters)))),
          iterate: (parameters) => statement.iterate(...values(parameters)),
        };
      },
    },
  });
  const prepare = (sql: string): Prepared => {
    const statement = named(() => database.prepare(sql));
    const guarded = guard(sql);
    return {
      run: (...values) => guarded(() => void statement.run(...values)),
      get: (...values) => guarded(() => statement.get(...values)),
      all: (...values) => guarded(() => statement.all(...values)),
    };
  };
  return { dialect, prepare };
}
