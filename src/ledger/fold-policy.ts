import { CairnError, canonicalJson, type Digest } from '#core';
import { countSignatures, isNext, parsePolicy, readPolicyStatement, type OpenPlace, type PolicySignature, type PolicyVersion } from '#policy';
import type { Entry } from './fold.ts';
import type { Database } from './schema.ts';

// How versions of the policy follow each other in the index: see PolicyChain, which comes to the same from the bytes of the log.

/**
 * The first policy is in force as it is logged; each later one with the signature that completes the quorum of the version before it.
 * Whatever else a policy statement is, it stands in the log and changes nothing: a fold that stopped at it would stop for good.
 */
export async function foldPolicy(index: Database, entry: Entry): Promise<void> {
  const read = readable(entry);
  if (read === undefined) return;
  const { policy, digest, body } = read;
  const before = await newestVersion(index);
  if (before === undefined) {
    await index.insertInto('policies').values({ idx: entry.logIndex, digest, body }).execute();
    return;
  }
  if (!isNext(before, policy) || entry.logIndex <= before.logIndex) return;
  await index.insertInto('proposals').values({ digest, idx: entry.logIndex, body }).onConflict((on) => on.doNothing()).execute();
  await index.insertInto('policy_signatures').values({ idx: entry.logIndex, policy: digest, envelope: entry.digest, key: entry.key, time: entry.time }).execute();
  const signatures = await signaturesOn(index, digest);
  const { open } = countSignatures(before.policy, await revokedKeys(index), signatures);
  const at = Math.max(...signatures.map(({ logIndex }) => logIndex));
  if (open.length === 0) await index.insertInto('policies').values({ idx: at, digest, body }).execute();
}

function readable({ statement }: Entry): (ReturnType<typeof readPolicyStatement> & { body: string }) | undefined {
  try {
    return { ...readPolicyStatement(statement), body: canonicalJson(statement.predicate).toString('utf8') };
  } catch (error) {
    if (error instanceof CairnError) return undefined;
    throw error;
  }
}

async function newestVersion(index: Database): Promise<PolicyVersion | undefined> {
  const row = await index.selectFrom('policies').selectAll().orderBy('idx', 'desc').limit(1).executeTakeFirst();
  return row === undefined ? undefined : versionOf(row);
}

function versionOf({ idx, digest, body }: { idx: number; digest: string; body: string }): PolicyVersion {
  return { policy: parsePolicy(Buffer.from(body)), digest: digest as Digest, logIndex: idx };
}

async function signaturesOn(index: Database, policy: Digest): Promise<(PolicySignature & { envelope: Digest })[]> {
  const rows = await index.selectFrom('policy_signatures').selectAll().where('policy', '=', policy).orderBy('idx').execute();
  return rows.map(({ idx, key, time, envelope }) => ({ key, time, logIndex: idx, envelope: envelope as Digest }));
}

async function revokedKeys(index: Database) {
  const rows = await index.selectFrom('key_revocations').selectAll().orderBy('idx').execute();
  return rows.map(({ key, after_idx, by_whom, reason }) => ({ key, after: after_idx, by: by_whom, reason }));
}

interface SignedBy {
  readonly envelope: Digest;
  readonly logIndex: number;
  readonly time: number;
  /** base64 SPKI. */
  readonly key: string;
  /** By the version before; null for a key that it does not know. */
  readonly by: string | null;
  /** What speaks against it; null where it counts. */
  readonly complaint: string | null;
}

/** A version that somebody wants. `dead`: another one came into force, and it cannot follow that. */
export interface Proposal {
  readonly digest: Digest;
  readonly policy: PolicyVersion['policy'];
  readonly logIndex: number;
  readonly state: 'open' | 'in-force' | 'dead';
  readonly signatures: readonly SignedBy[];
  /** Places of the quorum that nobody fills yet; empty where it is in force. */
  readonly open: readonly OpenPlace[];
}

export interface PolicyReads {
  /** Every version that was ever in force, oldest first. */
  policies(): Promise<readonly PolicyVersion[]>;
  /** The one in force for what stands at the place in the log; undefined before the first. */
  policyAt(logIndex: number): Promise<PolicyVersion | undefined>;
  /** Oldest first. */
  proposals(): Promise<readonly Proposal[]>;
}

export function policyReads(database: Database): PolicyReads {
  const policies = async () => (await database.selectFrom('policies').selectAll().orderBy('idx').execute()).map(versionOf);
  return {
    policies,
    policyAt: async (logIndex) => {
      const row = await database.selectFrom('policies').selectAll().where('idx', '<', logIndex).orderBy('idx', 'desc').limit(1).executeTakeFirst();
      return row === undefined ? undefined : versionOf(row);
    },
    proposals: async () => {
      const [versions, revoked] = [await policies(), await revokedKeys(database)];
      const rows = await database.selectFrom('proposals').selectAll().orderBy('idx').execute();
      return Promise.all(rows.map(async ({ digest, idx, body }): Promise<Proposal> => {
        const policy = parsePolicy(Buffer.from(body));
        const before = versions.find((one) => one.digest === policy.previous);
        if (before === undefined) throw new CairnError('storage', `the index has the policy ${digest} and not the one before it`, { fix: 'cairn ledger rebuild' });
        const found = await signaturesOn(database, digest as Digest);
        const { open, complaints } = countSignatures(before.policy, revoked, found);
        const signatures = found.map((one) => ({ ...one, by: before.policy.people.find(({ keys }) => keys.includes(one.key))?.name ?? null, complaint: complaints.get(one.logIndex) ?? null }));
        const state = versions.some((one) => one.digest === digest) ? 'in-force' : before === versions.at(-1) ? 'open' : 'dead';
        return { digest: digest as Digest, policy, logIndex: idx, state, signatures, open: state === 'open' ? open : [] };
      }));
    },
  };
}
