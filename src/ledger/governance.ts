import { sql } from 'kysely';
import { isDigest, verificationFailed, type Digest } from '#core';
import type { BrokenGlass, Debt, Incident, Ledger, Stored } from '#release';
import { noteTime } from './note-time.ts';
import type { Database } from './schema.ts';

type Governance = Pick<Ledger, 'incidents' | 'revocations' | 'brokenGlass' | 'debts' | 'newest' | 'stored'>;

/** What several people decided about releases, keys and packages, and what a decision reads at once. */
export function governance(database: Database): Governance {
  return {
    incidents: async () => {
      const rows = await database.selectFrom('incidents').selectAll().orderBy('idx').execute();
      return rows.map(({ idx, time, application, environment, release, code, what, owner, resolution, resolved_by }): Incident =>
        ({ logIndex: idx, time, application, environment, release: release as Digest, code, what, owner, resolution, resolvedBy: resolved_by }));
    },
    revocations: async () => {
      const keys = await database.selectFrom('key_revocations').selectAll().orderBy('idx').execute();
      const packages = await database.selectFrom('package_revocations').selectAll().orderBy('idx').execute();
      return {
        keys: keys.map(({ key, after_idx, by_whom, reason }) => ({ key, after: after_idx, by: by_whom, reason })),
        packages: packages.map(({ purl, by_whom, reason }) => ({ purl, by: by_whom, reason })),
      };
    },
    brokenGlass: async (application, release) => {
      const rows = await database.selectFrom('broken_glass').selectAll().where('application', '=', application).where('release', '=', release).orderBy('idx').execute();
      return rows.map(({ envelope, environment, by_whom, reason, expires, used_by }): BrokenGlass => ({ envelope: envelope as Digest, environment, by: by_whom, reason, expires, usedBy: used_by }));
    },
    debts: async () => {
      const rows = await database.selectFrom('debts').selectAll().orderBy('idx').execute();
      return rows.map(({ envelope, time, application, environment, release, by_whom, reason, rules, settled_by }): Debt => ({
        envelope: envelope as Digest, time, application, environment, release: release as Digest, by: by_whom, reason, rules: JSON.parse(rules) as string[], settledBy: settled_by,
      }));
    },
    newest: async () => {
      const row = await database.selectFrom('checkpoints').selectAll().orderBy('size', 'desc').limit(1).executeTakeFirst();
      return row === undefined ? { size: 0, time: 0 } : { size: row.size, time: noteTime(row.note) };
    },
    stored: async (subjects, types) => {
      const rows = await database.selectFrom('subjects').innerJoin('statements', 'statements.idx', 'subjects.idx').leftJoin('envelopes', 'envelopes.digest', 'statements.digest')
        .select(['statements.digest as digest', 'statements.idx as idx', 'subjects.predicate_type as type', 'envelopes.key as key', 'envelopes.body as body'])
        .where('subjects.digest', 'in', subjects).where('subjects.predicate_type', 'in', types).groupBy('statements.idx').orderBy(sql`statements.idx`).execute();
      return rows.map(({ digest, idx, type, key, body }): Stored => {
        if (key === null || body === null || !isDigest(digest)) {
          throw verificationFailed('envelope-missing', `the ledger lacks the envelope of log entry ${idx}, which the log names`, { fix: 'cairn audit, then restore the ledger from a backup', context: { logIndex: idx } });
        }
        return { digest, logIndex: idx, predicateType: type, key, body };
      });
    },
  };
}
