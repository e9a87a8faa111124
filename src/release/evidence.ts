import { parsePredicate, predicateTypes, subjectDigests, type Bundle } from '#attest';
import type { Digest } from '#core';
import type { Evidence, EvidenceStatement } from '#policy';
import type { ReleaseDocument } from './document.ts';
import { isQuarantined } from './plan.ts';
import type { Ledger, Logged, Timeline } from './ports.ts';
import { saysOf } from './says.ts';

/** Verifies a bundle from its bytes. @throws CairnError `verification-failed` */
export type Verifier = (bundle: Bundle, key: string) => { readonly time: number };

const { provenance, tests, approval, sbom, spdx, scan, findings } = predicateTypes;
const ofReleases = [provenance, tests, approval, scan, findings];
const ofComponents = [sbom, spdx];
const ofEither = [scan, findings];

/**
 * Gathers what the gate may weigh. Every statement is verified again from its bytes, signature and log proof, at every
 * decision: an index that an attacker has edited changes nothing. One that fails halts the decision, it is not left out.
 */
export async function gatherEvidence(options: {
  ledger: Ledger; verify: Verifier; document: ReleaseDocument; release: Digest; content: Digest; timeline: Timeline; schema: Evidence['schema'];
}): Promise<Evidence> {
  const { ledger, verify, document, release, content, timeline, schema } = options;
  const components = [...new Set(document.components.map(({ digest }) => digest))];
  const own = new Set([release, ...document.components.flatMap(({ digest, platforms }) => [digest, ...platforms.map((one) => one.digest)])]);
  const ownAlone = ({ statement }: Logged) => subjectDigests(statement).every((one) => own.has(one));
  const found = new Map<Digest, Logged>();
  for (const type of ofReleases) for (const one of await ledger.about(release, type)) found.set(one.digest, one);
  for (const component of components) {
    for (const type of ofComponents) for (const one of await ledger.about(component, type)) found.set(one.digest, one);
    // What was found in another release with one of these components may be in its other ones.
    for (const type of ofEither) for (const one of await ledger.about(component, type)) if (ownAlone(one)) found.set(one.digest, one);
  }
  const statements: EvidenceStatement[] = [...found.values()].toSorted((a, b) => a.logIndex - b.logIndex).flatMap((logged) => {
    const { time } = verify(logged.bundle, logged.key);
    const says = saysOf(logged.statement);
    return says === undefined ? [] : [{ envelope: logged.digest, predicateType: logged.statement.predicateType, subjects: subjectDigests(logged.statement), signer: { kind: 'key', key: logged.key }, logIndex: logged.logIndex, time, says }];
  });
  const revocation = timeline.revoked.includes(release) ? (await ledger.about(release, predicateTypes.revocation))[0] : undefined;
  return {
    release,
    application: document.application,
    commit: document.source.commit,
    source: document.source.uri,
    changes: document.source.changes ?? null,
    components,
    since: statements.find(({ says }) => says.kind === 'provenance')?.time ?? null,
    statements,
    confirmedIn: [...(await ledger.confirmedIn(document.application, release))],
    quarantined: isQuarantined(timeline, { release, content }),
    revoked: revocation === undefined ? null : pick(parsePredicate('revocation', revocation.statement)),
    revokedKeys: [],
    revokedPackages: [],
    breakGlass: null,
    debts: [],
    witnessed: null,
    sources: [],
    schema,
  };
}

function pick({ by, reason }: { by: string; reason: string }): { by: string; reason: string } {
  return { by, reason };
}
