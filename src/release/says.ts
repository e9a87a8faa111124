import { parsePredicate, predicateTypes, type PredicateOf, type Statement } from '#attest';
import type { BilledPackage, Says } from '#policy';

/** Predicates that the gate weighs where they are about the release; bills of materials and scans are about its components. */
export const aboutRelease: readonly string[] = [predicateTypes.provenance, predicateTypes.tests, predicateTypes.approval, predicateTypes.breakGlass];
export const aboutComponents: readonly string[] = [predicateTypes.sbom];

/** What a statement says, as far as a rule reads it. @throws CairnError `malformed-document` */
export function saysOf(statement: Statement): Says {
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
    case predicateTypes.breakGlass: {
      const { application, environment, by, reason, expires } = parsePredicate('breakGlass', statement);
      return { kind: 'break-glass', application, environment, by, reason, expires: Date.parse(expires) / 1000 };
    }
    default: {
      const { application, environment, by, expires } = parsePredicate('approval', statement);
      return { kind: 'approval', application, environment, by, expires: Date.parse(expires) / 1000 };
    }
  }
}

function packageOf(component: PredicateOf<'sbom'>['components'][number]): BilledPackage {
  const { name, purl = '', version, licenses } = component as typeof component & { version?: unknown; licenses?: readonly { license?: { id?: string; name?: string }; expression?: string }[] };
  const named = (licenses ?? []).flatMap(({ license, expression }) => expression ?? license?.id ?? license?.name ?? []);
  return { purl, name, version: typeof version === 'string' ? version : '', licenses: named };
}
