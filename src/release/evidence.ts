import { parsePredicate, predicateTypes, subjectDigests, type Bundle, type PredicateOf, type Statement } from '#attest';
import type { Digest } from '#core';
import type { BilledPackage, Evidence, EvidenceStatement, Says } from '#policy';
import type { ReleaseDocument } from './document.ts';
import { isQuarantined } from './plan.ts';
import type { Ledger, Logged, Timeline } from './ports.ts';

/** Verifies a bundle from its bytes. @throws CairnError `verification-failed` */
export type Verifier = (bundle: Bundle, key: string) => { readonly time: number };

/**
 * Gathers what the gate may weigh. Every statement is verified again from its bytes, signature and log proof, at every
 * decision: an index that an attacker has edited changes nothing. One that fails halts the decision, it is not left out.
 */
export async function gatherEvidence(options: {
  ledger: Ledger; verify: Verifier; document: ReleaseDocument; release: Digest; content: Digest; timeline: Timeline; schema: Evidence['schema'];
}): Promise<Evidence> {
  const { ledger, verify, document, release, content, timeline, schema } = options;
  const components = [...new Set(document.components.map(({ digest }) => digest))];
  const found = new Map<Digest, Logged>();
  for (const type of [predicateTypes.provenance, predicateTypes.tests, predicateTypes.approval]) for (const one of await ledger.about(release, type)) found.set(one.digest, one);
  for (const component of components) for (const one of await ledger.about(component, predicateTypes.sbom)) found.set(one.digest, one);
  const statements: EvidenceStatement[] = [...found.values()].toSorted((a, b) => a.logIndex - b.logIndex).flatMap((logged) => {
    const { time } = verify(logged.bundle, logged.key);
    const says = factsOf(logged.statement);
    return [{ envelope: logged.digest, predicateType: logged.statement.predicateType, subjects: subjectDigests(logged.statement), signer: { kind: 'key', key: logged.key }, logIndex: logged.logIndex, time, says }];
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

function packageOf(component: PredicateOf<'sbom'>['components'][number]): BilledPackage {
  const { name, purl = '', version, licenses } = component as typeof component & { version?: unknown; licenses?: readonly { license?: { id?: string; name?: string }; expression?: string }[] };
  const named = (licenses ?? []).flatMap(({ license, expression }) => expression ?? license?.id ?? license?.name ?? []);
  return { purl, name, version: typeof version === 'string' ? version : '', licenses: named };
}

function factsOf(statement: Statement): Says {
  switch (statement.predicateType) {
    case predicateTypes.provenance: {
      const { buildDefinition, runDetails } = parsePredicate('provenance', statement);
      const { source, changes = null } = buildDefinition.externalParameters;
      return { kind: 'provenance', commit: source.digest.gitCommit, source: source.uri, builder: runDetails.builder.id, changes };
    }
    case predicateTypes.sbom:
      return { kind: 'sbom', packages: parsePredicate('sbom', statement).components.map(packageOf) };
    case predicateTypes.tests: {
      const tests = parsePredicate('tests', statement);
      const { passed = null, failed = null } = tests['https://cairn.internal/tests/v1'] ?? {};
      return { kind: 'tests', result: tests.result, passed, failed };
    }
    default: {
      const { application, environment, by, expires } = parsePredicate('approval', statement);
      return { kind: 'approval', application, environment, by, expires: Date.parse(expires) / 1000 };
    }
  }
}
