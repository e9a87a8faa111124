import { parsePredicate, subjectDigests, type Facts } from '#attest';
import type { Digest } from '#core';
import { componentsOf, type ReleaseDocument } from '#release';
import { refused } from './capsule-form.ts';
import type { Held } from './capsule-statements.ts';

// What a verdict says that it was decided on, held to what the statements of the capsule say. What no statement can show, the record key
// alone vouches for, and whoever reads the capsule is told what that is.

export interface FactsChecked {
  /** What rests on the record key's word alone, in words. */
  readonly unproven: readonly string[];
}

/**
 * @param before statements that the log had before the verdict
 * @throws CairnError `verification-failed`, naming the fact
 */
export function checkFacts(facts: Facts, document: ReleaseDocument, release: Digest, before: readonly Held[], where: string): FactsChecked {
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
  require('since', facts.since, before.find(({ kind, statement }) => kind === 'provenance' && subjectDigests(statement).includes(release))?.time ?? null);
  require('confirmedIn', sorted(facts.confirmedIn), sorted(confirmed(before, document.application, release)));
  require('revoked', facts.revoked, revoked(before, document.application, release));
  require('revokedKeys', ordered(facts.revokedKeys), ordered(before.filter(({ kind }) => kind === 'keyRevocation').map(({ statement }) => {
    const { key, after, by, reason } = parsePredicate('keyRevocation', statement);
    return { key, after, by, reason };
  })));
  for (const { purl, by, reason } of facts.revokedPackages) {
    const found = before.some(({ kind, statement }) => kind === 'packageRevocation' && matches(parsePredicate('packageRevocation', statement), { purl, by, reason }));
    if (!found) throw refused('fact-mismatch', `${where} was decided on a revocation of ${purl} by ${by}, which nobody signed`, { context: { fact: 'revokedPackages' } });
  }
  for (const { envelope, by } of [...facts.debts, ...(facts.breakGlass === null ? [] : [facts.breakGlass])]) {
    const found = before.some((one) => one.kind === 'breakGlass' && one.envelope === envelope && parsePredicate('breakGlass', one.statement).by === by);
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

function matches(one: { purl: string; by: string; reason: string }, other: { purl: string; by: string; reason: string }): boolean {
  return one.purl === other.purl && one.by === other.by && one.reason === other.reason;
}
