import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { SqliteDialect } from 'kysely';
import type { Faults } from '#core';
import { named } from './trouble.ts';

/**
 * node:sqlite under kysely. WAL with synchronous=FULL: a commit has reached the disk when it returns. Every statement that
 * writes is a place where the tests kill the process, before and after it.
 */
export function sqliteDialect(path: string, faults: Faults): SqliteDialect {
  // For its owner only, since settings stand in it; SQLite gives its other files the same mode.
  closeSync(openSync(path, 'a', 0o600));
  const database = named(() => new DatabaseSync(path));
  const pragmas = () => database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;');
  named(pragmas);
  return new SqliteDialect({
    database: {
      close: () => database.close(),
      prepare: (sql) => {
        const statement = named(() => database.prepare(sql));
        const reader = statement.columns().length > 0;
        const writes = /^(insert|update|delete|commit)/i.exec(sql)?.[0];
        const guarded = <T>(work: () => T): T => {
          if (writes === undefined) return named(work);
          faults.point(`sql ${writes}`);
          const result = named(work);
          faults.point(`sql ${writes} done`);
          return result;
        };
        const values = (parameters: readonly unknown[]) => parameters as SQLInputValue[];
        return {
          reader,
          all: (parameters) => guarded(() => statement.all(...values(parameters))),
          run: (parameters) => guarded(() => statement.run(...values(parameters))),
          iterate: (parameters) => statement.iterate(...values(parameters)),
        };
      },
    },
  });
}
