import { parsePredicate, subjectDigests, type Facts } from '#attest';
import type { Digest } from '#core';
import { findPackage, type EvidenceStatement } from '#policy';
import { componentsOf, type ReleaseDocument } from '#release';
import { refused } from './capsule-form.ts';
import type { Held } from './capsule-statements.ts';

// What a verdict says that it was decided on, held to what the statements of the capsule say. What no statement can show, the record key
// alone vouches for, and whoever reads the capsule is told what that is.

export interface FactsChecked {
  /** What rests on the record key's word alone, in words. */
  readonly unproven: readonly string[];
}

export interface FactsInput {
  readonly document: ReleaseDocument;
  readonly release: Digest;
  /** Statements that the log had before the verdict. */
  readonly before: readonly Held[];
  readonly weighed: readonly EvidenceStatement[];
  /** Which verdict, in words. */
  readonly where: string;
}

/** @throws CairnError `verification-failed`, naming the fact */
export function checkFacts(facts: Facts, { document, release, before, weighed, where }: FactsInput): FactsChecked {
  const require = (name: string, said: unknown, proven: unknown) => {
    if (JSON.stringify(said) === JSON.stringify(proven)) return;
    throw refused('fact-mismatch', `${where} was decided on ${name} ${JSON.stringify(said)}, and what is signed says ${JSON.stringify(proven)}`, { context: { fact: name, said, proven } });
  };
  require('release', facts.release, release);
  require('application', facts.application, document.application);
  require('commit', facts.commit, document.source.commit);
  require('source', facts.source, document.source.uri);
  require('changes', facts.changes, document.source.changes ?? null);
  require('components', facts.components, componentsOf(document));
  require('since', facts.since, weighed.find(({ says }) => says.kind === 'provenance')?.time ?? null);
  require('confirmedIn', sorted(facts.confirmedIn), sorted(confirmed(before, document.application, release)));
  require('revoked', facts.revoked, revoked(before, document.application, release));
  require('revokedKeys', ordered(facts.revokedKeys), ordered(revokedKeys(before, weighed)));
  require('revokedPackages', packages(facts.revokedPackages), packages(revokedPackages(before, weighed)));
  if (facts.incidents !== undefined) require('incidents', facts.incidents.map(({ logIndex, environment, code, owner }) => ({ logIndex, environment, code, owner })), openIncidents(before, document.application, release));
  if (facts.spentGlass !== undefined) require('spentGlass', facts.spentGlass.toSorted(), spentGlass(before, document.application, release));
  for (const { envelope, by } of [...facts.debts, ...(facts.breakGlass === null ? [] : [facts.breakGlass])]) {
    const found = before.some((one) => one.kind === 'breakGlass' && one.envelope === envelope && by.split(', ').includes(parsePredicate('breakGlass', one.statement).by));
    if (!found) throw refused('fact-mismatch', `${where} was decided on a break-glass by ${by}, which nobody signed`, { context: { fact: 'breakGlass' } });
  }
  return { unproven: unproven(facts) };
}

/** Where the release was confirmed first, by the outcomes that the record key signed at the time. */
function confirmed(before: readonly Held[], application: string, release: Digest): Facts['confirmedIn'] {
  const found = new Map<string, number>();
  for (const { kind, statement, time } of before) {
    if (kind !== 'outcome' || !subjectDigests(statement).includes(release)) continue;
    const outcome = parsePredicate('outcome', statement);
    if (outcome.application === application && outcome.state === 'confirmed' && !found.has(outcome.environment)) found.set(outcome.environment, time);
  }
  return [...found].map(([environment, time]) => ({ environment, time }));
}

function revoked(before: readonly Held[], application: string, release: Digest): Facts['revoked'] {
  const first = before.find(({ kind, statement }) => kind === 'revocation' && subjectDigests(statement).includes(release) && parsePredicate('revocation', statement).application === application);
  if (first === undefined) return null;
  const { by, reason } = parsePredicate('revocation', first.statement);
  return { by, reason };
}

/** Of keys that something here was signed by. */
function revokedKeys(before: readonly Held[], weighed: readonly EvidenceStatement[]): Facts['revokedKeys'] {
  const signed = new Set(weighed.flatMap(({ signer }) => (signer.kind === 'key' ? [signer.key] : [])));
  return before.filter(({ kind }) => kind === 'keyRevocation').map(({ statement }) => parsePredicate('keyRevocation', statement)).filter(({ key }) => signed.has(key));
}

/** Of packages that a bill here names. */
function revokedPackages(before: readonly Held[], weighed: readonly EvidenceStatement[]): Facts['revokedPackages'] {
  const bills = weighed.flatMap(({ says }) => (says.kind === 'sbom' ? [says.packages] : []));
  const all = before.filter(({ kind }) => kind === 'packageRevocation').map(({ statement }) => parsePredicate('packageRevocation', statement));
  return all.filter(({ purl }) => bills.some((one) => findPackage(one, purl) !== undefined));
}

function openIncidents(before: readonly Held[], application: string, release: Digest): NonNullable<Facts['incidents']> {
  const open = new Map<number, NonNullable<Facts['incidents']>[number]>();
  for (const { kind, statement, logIndex } of before) {
    if (!subjectDigests(statement).includes(release)) continue;
    if (kind === 'incident') {
      const { application: of, environment, code } = parsePredicate('incident', statement);
      if (of === application) open.set(logIndex, { logIndex, environment, code, owner: null });
    } else if (kind === 'resolution') {
      const { incident, action, owner } = parsePredicate('resolution', statement);
      const found = open.get(incident);
      if (action === 'resolve') open.delete(incident);
      else if (found !== undefined) open.set(incident, { ...found, owner });
    }
  }
  return [...open.values()];
}

/** Statements that a verdict before this one let something past by. */
function spentGlass(before: readonly Held[], application: string, release: Digest): Digest[] {
  const verdicts = before.filter(({ kind }) => kind === 'verdict').map(({ statement }) => parsePredicate('verdict', statement));
  const passed = verdicts.filter(({ verificationResult }) => verificationResult === 'PASSED').map((one) => one['https://cairn.internal/verdict/v1']);
  return passed.filter((one) => one.application === application && one.release === release && one.rules.some(({ waived }) => waived === true))
    .flatMap(({ rules }) => rules.find((one) => one.rule === 'break-glass' && one.passed)?.evidence ?? []).toSorted();
}

function unproven(facts: Facts): string[] {
  return [
    facts.quarantined ? 'that it had been rolled back from there' : 'that it had not been rolled back from there',
    ...(facts.schema === null ? [] : [`that the data had ${facts.schema.version === null ? 'no schema yet' : `schema ${facts.schema.version}`}`]),
    ...(facts.witnessed === null ? [] : [`that ${facts.witnessed.witnesses.join(', ')} had seen ${facts.witnessed.size} entries`]),
    ...facts.sources.map(({ name, state }) => `that ${name} was ${state}`),
  ];
}

function sorted(places: Facts['confirmedIn']): Facts['confirmedIn'] {
  return places.map(({ environment, time }) => ({ environment, time })).toSorted((a, b) => (a.environment < b.environment ? -1 : 1));
}

function ordered(revocations: Facts['revokedKeys']): Facts['revokedKeys'] {
  return revocations.map(({ key, after, by, reason }) => ({ key, after, by, reason })).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function packages(revocations: Facts['revokedPackages']): Facts['revokedPackages'] {
  return revocations.map(({ purl, by, reason }) => ({ purl, by, reason })).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}
