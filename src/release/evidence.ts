import { subjectDigests, type Bundle, type Statement } from '#attest';
import type { Digest } from '#core';
import type { Evidence, EvidenceStatement } from '#policy';
import type { ReleaseDocument } from './document.ts';
import { componentsOf, gatherFacts } from './facts.ts';
import type { Ledger, Logged, Timeline } from './ports.ts';
import { aboutComponents, aboutEither, aboutRelease, saysOf } from './says.ts';

/** Verifies a bundle from its bytes. @throws CairnError `verification-failed` */
export type Verifier = (bundle: Bundle, key: string) => { readonly time: number };

/**
 * Gathers what the gate may weigh. Every statement is verified again from its bytes, signature and log proof, at every
 * decision: an index that an attacker has edited changes nothing. One that fails halts the decision, it is not left out.
 */
export async function gatherEvidence(options: {
  ledger: Ledger; verify: Verifier; document: ReleaseDocument; release: Digest; content: Digest; timeline: Timeline; schema: Evidence['schema'];
}): Promise<Evidence> {
  const { ledger, verify, document, release } = options;
  const logged = await loggedAbout(ledger, release, document);
  const statements = logged.flatMap((one) => weighable(one, verify(one.bundle, one.key).time));
  return { ...(await gatherFacts({ ...options, statements })), statements };
}

async function loggedAbout(ledger: Ledger, release: Digest, document: ReleaseDocument): Promise<Logged[]> {
  const found = new Map<Digest, Logged>();
  const take = (logged: readonly Logged[]) => {
    for (const one of logged) if (isWeighed(one.statement, release, document)) found.set(one.digest, one);
  };
  for (const type of aboutRelease) take(await ledger.about(release, type));
  for (const component of componentsOf(document)) for (const type of [...aboutComponents, ...aboutEither]) take(await ledger.about(component, type));
  return [...found.values()].toSorted((a, b) => a.logIndex - b.logIndex);
}

/** Whether the gate weighs a statement where it decides about the release: by its type and what it is about. Who checks a decision asks the same. */
export function isWeighed(statement: Statement, release: Digest, document: ReleaseDocument): boolean {
  const { predicateType } = statement;
  const subjects = subjectDigests(statement);
  if (subjects.includes(release) && aboutRelease.includes(predicateType)) return true;
  const components = componentsOf(document);
  if (!subjects.some((one) => components.includes(one))) return false;
  if (aboutComponents.includes(predicateType)) return true;
  // What was found in another release with one of these components may be in its other ones.
  const own = new Set([release, ...document.components.flatMap(({ digest, platforms }) => [digest, ...platforms.map((one) => one.digest)])]);
  return aboutEither.includes(predicateType) && subjects.every((one) => own.has(one));
}

/** Nothing where no rule reads such a statement. */
export function weighable(logged: Pick<Logged, 'digest' | 'statement' | 'key' | 'logIndex'>, time: number): EvidenceStatement[] {
  const { digest, statement, key, logIndex } = logged;
  const says = saysOf(statement);
  return says === undefined ? [] : [{ envelope: digest, predicateType: statement.predicateType, subjects: subjectDigests(statement), signer: { kind: 'key', key }, logIndex, time, says }];
}
