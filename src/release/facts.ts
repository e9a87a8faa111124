import { parsePredicate, predicateTypes, type Facts } from '#attest';
import type { Digest } from '#core';
import { findPackage, type EvidenceStatement } from '#policy';
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
}

/** Facts that only the log decides: at one of its sizes they are always the same. */
export type LoggedFacts = Omit<Facts, keyof PresentFacts>;
/** Facts of the moment: asked for at every decision, whether it is in the cache or not. `schema`: what the data says, asked of the release's own command by whoever decides. */
type PresentFacts = Pick<Facts, 'witnessed' | 'sources' | 'schema'>;

/** What a decision rests on beside statements, one small function a kind of fact. */
export async function gatherFacts(input: FactsInput): Promise<LoggedFacts> {
  const { document, release, content, timeline, statements, ledger } = input;
  return {
    release,
    application: document.application,
    ...sourceFacts(document),
    components: componentsOf(document),
    since: statements.find(({ says }) => says.kind === 'provenance')?.time ?? null,
    confirmedIn: [...(await ledger.confirmedIn(document.application, release))],
    quarantined: isQuarantined(timeline, { release, content }),
    ...(await revocationFacts(input)),
    ...(await glassFacts(input)),
    ...(await incidentFacts(input)),
  };
}

/** As much of a release as says which statements are about it. */
export interface Made {
  readonly components: readonly { readonly digest: Digest; readonly platforms: readonly { readonly digest: Digest }[] }[];
}

export function componentsOf(document: Made): Digest[] {
  return [...new Set(document.components.map(({ digest }) => digest))];
}

/** Every digest that is the release or a part of it that others may have signed. */
export function partsOf(release: Digest, document: Made): Set<Digest> {
  return new Set([release, ...document.components.flatMap(({ digest, platforms }) => [digest, ...platforms.map((one) => one.digest)])]);
}

function sourceFacts({ source }: ReleaseDocument): Pick<Facts, 'commit' | 'source' | 'changes'> {
  return { commit: source.commit, source: source.uri, changes: source.changes ?? null };
}

async function revocationFacts(input: FactsInput): Promise<Pick<Facts, 'revoked' | 'revokedKeys' | 'revokedPackages'>> {
  const { ledger, document, release, statements } = input;
  const { keys, packages } = await ledger.revocations();
  // Only those that something here was signed by, or contains: what else was revoked has no part in this decision.
  const signed = new Set(statements.flatMap(({ signer }) => (signer.kind === 'key' ? [signer.key] : [])));
  const bills = statements.flatMap(({ says }) => (says.kind === 'sbom' ? [says.packages] : []));
  // From the ledger, not from the timeline that the caller read: it may have been revoked since.
  const said = (await ledger.about(release, predicateTypes.revocation)).map(({ statement }) => parsePredicate('revocation', statement));
  const revocation = said.find(({ application }) => application === document.application);
  return {
    revoked: revocation === undefined ? null : pick(revocation),
    revokedKeys: keys.filter(({ key }) => signed.has(key)),
    revokedPackages: packages.filter(({ purl }) => bills.some((one) => findPackage(one, purl) !== undefined)),
  };
}

function pick({ by, reason }: { by: string; reason: string }): { by: string; reason: string } {
  return { by, reason };
}

async function glassFacts({ ledger, document: { application }, release, timeline: { environment } }: FactsInput): Promise<Pick<Facts, 'breakGlass' | 'spentGlass' | 'debts'>> {
  const broken = await ledger.brokenGlass(application, release);
  const newest = broken.findLast((one) => one.environment === environment && one.usedBy === null);
  const debts = (await ledger.debts()).filter((one) => one.application === application && one.environment === environment && one.settledBy === null);
  return {
    breakGlass: newest === undefined ? null : { envelope: newest.envelope, by: newest.by, reason: newest.reason, expires: newest.expires },
    spentGlass: broken.flatMap(({ usedBy, envelope }) => (usedBy === null ? [] : [envelope])),
    debts: debts.map(({ envelope, release, by, reason }) => ({ envelope, release, by, reason })),
  };
}

async function incidentFacts({ ledger, document: { application }, release }: FactsInput): Promise<Pick<Facts, 'incidents'>> {
  const open = (await ledger.incidents()).filter((one) => one.application === application && one.release === release && one.resolution === null);
  return { incidents: open.map(({ logIndex, environment, code, owner }) => ({ logIndex, environment, code, owner })) };
}
