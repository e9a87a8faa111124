import { subjectDigests, type Bundle } from '#attest';
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
  const own = new Set([release, ...document.components.flatMap(({ digest, platforms }) => [digest, ...platforms.map((one) => one.digest)])]);
  for (const type of aboutRelease) for (const one of await ledger.about(release, type)) found.set(one.digest, one);
  for (const component of componentsOf(document)) {
    for (const type of aboutComponents) for (const one of await ledger.about(component, type)) found.set(one.digest, one);
    // What was found in another release with one of these components may be in its other ones.
    for (const type of aboutEither) for (const one of await ledger.about(component, type)) if (subjectDigests(one.statement).every((of) => own.has(of))) found.set(one.digest, one);
  }
  return [...found.values()].toSorted((a, b) => a.logIndex - b.logIndex);
}

/** Nothing where no rule reads such a statement. */
function weighable(logged: Logged, time: number): EvidenceStatement[] {
  const { digest, statement, key, logIndex } = logged;
  const says = saysOf(statement);
  return says === undefined ? [] : [{ envelope: digest, predicateType: statement.predicateType, subjects: subjectDigests(statement), signer: { kind: 'key', key }, logIndex, time, says }];
}
