import { isDigest, shortDigest, type Digest } from '#core';
import { findPackage } from '#policy';
import type { Engine } from './engine.ts';
import { returns } from './plan.ts';
import type { Revision, Timeline } from './ports.ts';
import { mayDo } from './requests.ts';
import type { Revoked } from './revocations.ts';

/** A revision that runs and that a revocation touches, and the way out of it. */
export interface Touched {
  readonly application: string;
  readonly environment: string;
  readonly revision: number;
  readonly release: Digest;
  /** What of it was revoked, in words. */
  readonly what: string;
  /** The first way back that today's gate lets in; null where there is none. */
  readonly back: { readonly revision: number; readonly release: Digest } | null;
  /** Why there is none. */
  readonly problem: string | null;
  /** The command that mends it. */
  readonly fix: string;
}

/** In every application and environment. A place that cannot be read is listed too: it may be touched, nobody can say. */
export async function touchedBy(engine: Engine, timelines: readonly Timeline[], revoked: Revoked): Promise<Touched[]> {
  const found: Touched[] = [];
  for (const timeline of timelines) {
    for (const revision of running(timeline)) {
      const what = await touches(engine, revision, revoked).catch((error: unknown) => `cannot be told: ${error instanceof Error ? error.message : String(error)}`);
      if (what === undefined) continue;
      const { application, environment, number, release } = revision;
      found.push({ application, environment, revision: number, release, what, ...(await wayOut(engine, timeline, revision)) });
    }
  }
  return found;
}

/** What has traffic: the live one, and the one before it while they share it. */
function running({ live, revisions }: Timeline): Revision[] {
  if (live === undefined) return [];
  const sharing = live.share < 100 ? revisions.findLast(({ state }) => state === 'standby') : undefined;
  return sharing === undefined ? [live] : [live, sharing];
}

async function touches(engine: Engine, revision: Revision, revoked: Revoked): Promise<string | undefined> {
  switch (revoked.kind) {
    case 'release':
      return revision.application === revoked.application && revision.release === revoked.release ? 'the release' : undefined;
    case 'package': {
      const document = await engine.document(revision.application, revision.release);
      for (const { says } of await engine.decisions.statements(revision.release, document)) {
        const named = says.kind === 'sbom' ? findPackage(says.packages, revoked.purl) : undefined;
        if (named !== undefined) return `contains ${named.purl}`;
      }
      return undefined;
    }
    case 'key':
      return restedOn(engine, revision, revoked);
    default:
      return revoked satisfies never;
  }
}

/** What its admission rested on: the request, and the statements that its verdict names. */
async function restedOn({ options: { ledger } }: Engine, { operation }: Revision, { key, after }: Extract<Revoked, { kind: 'key' }>): Promise<string | undefined> {
  const verdict = await ledger.verdictOf(operation);
  const named = ((verdict?.statement.predicate as { inputAttestations?: { digest?: { sha256?: string } }[] } | undefined)?.inputAttestations ?? []).map(({ digest }) => `sha256:${digest?.sha256}`);
  for (const envelope of [operation, ...named]) {
    if (!isDigest(envelope)) continue;
    const logged = await ledger.logged(envelope);
    if (logged.key === key && (after === null || logged.logIndex > after)) return `was let in by what the key signed (log entry ${logged.logIndex})`;
  }
  return undefined;
}

async function wayOut(engine: Engine, timeline: Timeline, revision: Revision): Promise<Pick<Touched, 'back' | 'problem' | 'fix'>> {
  const { environment, live } = timeline;
  if (live !== undefined && revision.number !== live.number) return { back: null, problem: `it only shares the traffic of revision ${live.number}`, fix: `cairn traffic ${environment} 100` };
  const policy = await engine.options.ledger.policy();
  const by = mayDo(policy, environment, 'rollback')[0] ?? '';
  let problem = 'no earlier revision was ever confirmed, or all were revoked or rolled back from';
  try {
    for await (const { revision: to, content, hash, restores } of returns(timeline, engine.document)) {
      const document = await engine.document(timeline.application, content.release);
      const { passed, rules } = await engine.weigh({ release: content.release, content: hash, environment, by }, timeline, document, 'rollback', null);
      if (passed) return { back: { revision: restores, release: content.release }, problem: null, fix: `cairn rollback ${environment} --to ${to.number} --reason "revoked"` };
      problem = `${shortDigest(content.release)} may not return: ${rules.find((rule) => !rule.passed && rule.blocksRollback)?.found ?? 'the gate refuses it'}`;
    }
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  return { back: null, problem, fix: `Release and promote a commit that is not touched: cairn release, cairn promote DIGEST ${environment}` };
}
