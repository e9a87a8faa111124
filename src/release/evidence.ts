import { parsePredicate, predicateTypes, subjectDigests, type Bundle } from '#attest';
import type { Digest } from '#core';
import type { Evidence, EvidenceStatement } from '#policy';
import type { ReleaseDocument } from './document.ts';
import { isQuarantined } from './plan.ts';
import type { Ledger, Timeline } from './ports.ts';

/** Verifies a bundle from its bytes. @throws CairnError `verification-failed` */
export type Verifier = (bundle: Bundle, key: string) => { readonly time: number };

/**
 * Gathers what the gate may weigh. Every statement is verified again from its bytes, signature and log proof, at every
 * decision: an index that an attacker has edited changes nothing. One that fails halts the decision, it is not left out.
 */
export async function gatherEvidence(options: {
  ledger: Ledger; verify: Verifier; document: ReleaseDocument; release: Digest; content: Digest; timeline: Timeline;
}): Promise<Evidence> {
  const { ledger, verify, document, release, content, timeline } = options;
  const statements: EvidenceStatement[] = [];
  for (const logged of await ledger.about(release, predicateTypes.provenance)) {
    const { time } = verify(logged.bundle, logged.key);
    const { statement } = logged;
    const provenance = parsePredicate('provenance', statement);
    statements.push({
      envelope: logged.digest,
      predicateType: statement.predicateType,
      subjects: subjectDigests(statement),
      key: logged.key,
      logIndex: logged.logIndex,
      time,
      commit: provenance.buildDefinition.externalParameters.source.digest.gitCommit,
    });
  }
  return {
    release,
    application: document.application,
    commit: document.source.commit,
    statements,
    confirmedIn: await ledger.confirmedIn(document.application, release),
    quarantined: isQuarantined(timeline, { release, content }),
  };
}
