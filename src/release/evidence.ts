import { subjectDigests, type Bundle } from '#attest';
import type { Digest } from '#core';
import type { Evidence, EvidenceStatement } from '#policy';
import type { ReleaseDocument } from './document.ts';
import { componentsOf, gatherFacts } from './facts.ts';
import type { Ledger, Logged, Timeline } from './ports.ts';
import { aboutComponents, aboutRelease, saysOf } from './says.ts';

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
  const logged = await loggedAbout(ledger, release, componentsOf(document));
  const statements = logged.map((one) => weighable(one, verify(one.bundle, one.key).time));
  return { ...(await gatherFacts({ ...options, statements })), statements };
}

async function loggedAbout(ledger: Ledger, release: Digest, components: readonly Digest[]): Promise<Logged[]> {
  const found = new Map<Digest, Logged>();
  for (const type of aboutRelease) for (const one of await ledger.about(release, type)) found.set(one.digest, one);
  for (const component of components) for (const type of aboutComponents) for (const one of await ledger.about(component, type)) found.set(one.digest, one);
  return [...found.values()].toSorted((a, b) => a.logIndex - b.logIndex);
}

function weighable(logged: Logged, time: number): EvidenceStatement {
  const { digest, statement, key, logIndex } = logged;
  return { envelope: digest, predicateType: statement.predicateType, subjects: subjectDigests(statement), signer: { kind: 'key', key }, logIndex, time, says: saysOf(statement) };
}
