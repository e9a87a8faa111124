import { subjectDigests, type Statement } from '#attest';
import type { Digest } from '#core';
import type { EvidenceStatement } from '#policy';
import { componentsOf, partsOf, type Made } from './facts.ts';
import type { Logged } from './ports.ts';
import { aboutComponents, aboutEither, aboutRelease, saysOf } from './says.ts';

/** Whether the gate weighs a statement where it decides about the release: by its type and what it is about. Who checks a decision asks the same. */
export function isWeighed(statement: Statement, release: Digest, document: Made): boolean {
  return concerns(statement.predicateType, subjectDigests(statement), release, document);
}

export function concerns(predicateType: string, subjects: readonly Digest[], release: Digest, document: Made): boolean {
  if (subjects.includes(release) && aboutRelease.includes(predicateType)) return true;
  const components = componentsOf(document);
  if (!subjects.some((one) => components.includes(one))) return false;
  if (aboutComponents.includes(predicateType)) return true;
  // What was found in another release with one of these components may be in its other ones.
  const own = partsOf(release, document);
  return aboutEither.includes(predicateType) && subjects.every((one) => own.has(one));
}

/** Nothing where no rule reads such a statement. */
export function weighable(logged: Pick<Logged, 'digest' | 'statement' | 'key' | 'logIndex'>, time: number): EvidenceStatement[] {
  const { digest, statement, key, logIndex } = logged;
  const says = saysOf(statement);
  return says === undefined ? [] : [{ envelope: digest, predicateType: statement.predicateType, subjects: subjectDigests(statement), signer: { kind: 'key', key }, logIndex, time, says }];
}
