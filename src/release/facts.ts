import { parsePredicate, predicateTypes, type Facts } from '#attest';
import type { Digest } from '#core';
import type { EvidenceStatement } from '#policy';
import type { ReleaseDocument } from './document.ts';
import { isQuarantined } from './plan.ts';
import type { Ledger, Timeline } from './ports.ts';

export interface FactsInput {
  readonly ledger: Ledger;
  readonly document: ReleaseDocument;
  readonly release: Digest;
  readonly content: Digest;
  readonly timeline: Timeline;
  readonly statements: readonly EvidenceStatement[];
  readonly schema: Facts['schema'];
}

/** What a decision rests on beside statements, one small function a kind of fact. */
export async function gatherFacts(input: FactsInput): Promise<Facts> {
  const { document, release, content, timeline, statements, schema, ledger } = input;
  return {
    release,
    application: document.application,
    ...sourceFacts(document),
    components: componentsOf(document),
    since: statements.find(({ says }) => says.kind === 'provenance')?.time ?? null,
    confirmedIn: [...(await ledger.confirmedIn(document.application, release))],
    quarantined: isQuarantined(timeline, { release, content }),
    ...(await revocationFacts(input)),
    ...glassFacts(),
    ...witnessFacts(),
    schema,
  };
}

export function componentsOf(document: ReleaseDocument): Digest[] {
  return [...new Set(document.components.map(({ digest }) => digest))];
}

function sourceFacts({ source }: ReleaseDocument): Pick<Facts, 'commit' | 'source' | 'changes'> {
  return { commit: source.commit, source: source.uri, changes: source.changes ?? null };
}

async function revocationFacts({ ledger, timeline, release }: FactsInput): Promise<Pick<Facts, 'revoked' | 'revokedKeys' | 'revokedPackages'>> {
  const revocation = timeline.revoked.includes(release) ? (await ledger.about(release, predicateTypes.revocation))[0] : undefined;
  if (revocation === undefined) return { revoked: null, revokedKeys: [], revokedPackages: [] };
  const { by, reason } = parsePredicate('revocation', revocation.statement);
  return { revoked: { by, reason }, revokedKeys: [], revokedPackages: [] };
}

function glassFacts(): Pick<Facts, 'breakGlass' | 'debts'> {
  return { breakGlass: null, debts: [] };
}

function witnessFacts(): Pick<Facts, 'witnessed' | 'sources'> {
  return { witnessed: null, sources: [] };
}
