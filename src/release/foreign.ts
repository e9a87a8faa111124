import { parsePredicate, predicateTypes, subjectDigests, type PredicateOf, type Statement } from '#attest';
import { verificationFailed, type Digest } from '#core';
import type { EvidenceSigner, EvidenceStatement, Says } from '#policy';
import { concerns } from './evidence.ts';
import { partsOf, type Made } from './facts.ts';
import type { Logged } from './ports.ts';
import { saysOf } from './says.ts';

/**
 * Verifies, from its bytes, what another tool signed. `ours`: where our own log holds that very signature.
 * @throws CairnError `verification-failed`, `malformed-document`
 */
export type ForeignReader = (said: PredicateOf<'foreign'>) => {
  readonly signer: EvidenceSigner;
  readonly statement: Statement;
  readonly ours: { readonly logIndex: number; readonly time: number } | null;
};

const spdxOfCosign = 'https://spdx.dev/Document';
const signature = 'https://sigstore.dev/cosign/sign/v1';

/** What counts where another tool signed it. What Cairn's own commands say (requests, verdicts, revocations, broken glass) is none of it: that is folded from our own statements only. */
export const foreignTypes: ReadonlySet<string> = new Set([
  predicateTypes.provenance, predicateTypes.sbom, predicateTypes.spdx, spdxOfCosign, predicateTypes.tests, predicateTypes.scan, predicateTypes.findings, predicateTypes.approval, signature,
]);

/** @throws CairnError `verification-failed` for a type that does not count, `malformed-document` for a predicate without the form of its type */
export function foreignSays(statement: Statement): Says {
  const { predicateType } = statement;
  const says = !foreignTypes.has(predicateType) ? undefined
    : predicateType === predicateTypes.provenance ? provenanceSays(statement)
    : saysOf(predicateType === spdxOfCosign ? { ...statement, predicateType: predicateTypes.spdx } : statement);
  if (says === undefined) throw verificationFailed('predicate-mismatch', `a statement of the type ${predicateType} counts for nothing here`);
  return says;
}

/**
 * A `foreign` statement as evidence: with the inner signer, type and subjects, verified from its bytes.
 * @throws CairnError where it does not hold any more, which is a complaint and no incident: who brought it vouched for nothing
 */
export function weighForeign(logged: Pick<Logged, 'digest' | 'statement' | 'logIndex'>, time: number, read: ForeignReader): EvidenceStatement {
  const { signer, statement, ours } = read(parsePredicate('foreign', logged.statement));
  const earlier = ours !== null && ours.logIndex < logged.logIndex;
  return {
    envelope: logged.digest, predicateType: statement.predicateType, subjects: subjectDigests(statement), signer, says: foreignSays(statement),
    logIndex: earlier ? ours.logIndex : logged.logIndex,
    time: earlier ? Math.min(ours.time, time) : time,
  };
}

/** The outer statement is the server's word, which counts for nothing: the signature inside must be about the release, and nothing beside it. */
export function isOfRelease({ predicateType, subjects, says }: EvidenceStatement, release: Digest, document: Made): boolean {
  const parts = partsOf(release, document);
  if (says.kind === 'signature') return subjects.every((one) => parts.has(one));
  return concerns(predicateType === spdxOfCosign ? predicateTypes.spdx : predicateType, subjects, release, document);
}

/** GitHub's builders name the commit among the materials, not among the parameters (actions.github.io/buildtypes/workflow/v1). */
function provenanceSays(statement: Statement): Says | undefined {
  const { buildDefinition, runDetails } = (statement.predicate ?? {}) as { buildDefinition?: { externalParameters?: { workflow?: { repository?: unknown } }; resolvedDependencies?: unknown }; runDetails?: { builder?: { id?: unknown } } };
  const repository = buildDefinition?.externalParameters?.workflow?.repository;
  if (typeof repository !== 'string') return saysOf(statement);
  const materials = (Array.isArray(buildDefinition?.resolvedDependencies) ? buildDefinition.resolvedDependencies : []) as readonly { uri?: unknown; digest?: { gitCommit?: unknown } }[];
  const own = materials.find(({ uri }) => typeof uri === 'string' && uri.replace(/^git\+/, '').replace(/@.*$/, '') === repository);
  const [commit, builder] = [own?.digest?.gitCommit, runDetails?.builder?.id];
  if (typeof commit !== 'string' || typeof builder !== 'string') return undefined;
  return { kind: 'provenance', commit, source: repository, builder, changes: null };
}
