import { parsePredicate, predicateTypes, type PredicateOf, type Statement } from '#attest';
import type { BilledPackage, Says, Severity } from '#policy';

/** Predicates that the gate weighs where they are about the release; bills of materials are about its components, what was found about either. */
export const aboutRelease: readonly string[] = [predicateTypes.provenance, predicateTypes.tests, predicateTypes.approval, predicateTypes.breakGlass, predicateTypes.scan, predicateTypes.findings];
export const aboutComponents: readonly string[] = [predicateTypes.sbom, predicateTypes.spdx];
export const aboutEither: readonly string[] = [predicateTypes.scan, predicateTypes.findings];

/**
 * The facts that a rule reads of a statement; undefined for a type that no rule reads. Nothing here believes anything: who signed is judged
 * elsewhere. @throws CairnError `malformed-document` where the predicate has not the form of its type
 */
export function saysOf(statement: Statement): Says | undefined {
  switch (statement.predicateType) {
    case predicateTypes.provenance: {
      const { buildDefinition, runDetails } = parsePredicate('provenance', statement);
      const { source, changes = null } = buildDefinition.externalParameters;
      return { kind: 'provenance', commit: source.digest.gitCommit, source: source.uri, builder: runDetails.builder.id, changes };
    }
    case predicateTypes.sbom:
      return { kind: 'sbom', packages: flat(parsePredicate('sbom', statement).components).map(componentPackage) };
    case predicateTypes.spdx:
      return { kind: 'sbom', packages: parsePredicate('spdx', statement).packages.map(spdxPackage) };
    case predicateTypes.tests: {
      const tests = parsePredicate('tests', statement);
      const { passed = null, failed = null } = tests['https://cairn.internal/tests/v1'] ?? {};
      return { kind: 'tests', result: tests.result, passed, failed };
    }
    case predicateTypes.scan:
      return scanSays(parsePredicate('scan', statement));
    case predicateTypes.findings: {
      const { tool, findings } = parsePredicate('findings', statement);
      return { kind: 'findings', tool, findings: findings.map(({ rule, level }) => ({ rule, level })) };
    }
    case predicateTypes.breakGlass: {
      const { application, environment, by, reason, expires } = parsePredicate('breakGlass', statement);
      return { kind: 'break-glass', application, environment, by, reason, expires: Date.parse(expires) / 1000 };
    }
    case predicateTypes.approval: {
      const { application, environment, by, expires } = parsePredicate('approval', statement);
      return { kind: 'approval', application, environment, by, expires: Date.parse(expires) / 1000 };
    }
    case cosignSignature:
      return { kind: 'signature' };
    default:
      return undefined;
  }
}

/** What `cosign sign` says in a bundle (sigstore/cosign: specs/BUNDLE_SPEC.md): nothing but that it signed. */
const cosignSignature = 'https://sigstore.dev/cosign/sign/v1';

type Component = PredicateOf<'sbom'>['components'][number];
type SpdxPackage = PredicateOf<'spdx'>['packages'][number];

/** A bill may nest what is part of something else; all of it runs. Its depth is bounded by whoever read the statement. */
function flat(components: readonly Component[]): Component[] {
  return components.flatMap((one) => [one, ...flat(one.components ?? [])]);
}

function componentPackage({ name, purl = '', version = '', licenses }: Component): BilledPackage {
  return { purl, name, version, licenses: (licenses ?? []).flatMap(({ license, expression }) => expression ?? license?.id ?? license?.name ?? []) };
}

function spdxPackage({ name, versionInfo = '', licenseConcluded, licenseDeclared, externalRefs }: SpdxPackage): BilledPackage {
  const purl = (externalRefs ?? []).find(({ referenceType }) => referenceType === 'purl')?.referenceLocator ?? '';
  const license = [licenseConcluded, licenseDeclared].find((one) => one !== undefined && one !== 'NOASSERTION' && one !== 'NONE');
  return { purl, name, version: versionInfo, licenses: license === undefined ? [] : [license] };
}

const ranks: readonly Severity[] = ['unknown', 'none', 'low', 'medium', 'high', 'critical'];

/** As bad as the worst that the scanner says of it, in words or by score. */
function scanSays({ scanner, metadata }: PredicateOf<'scan'>): Says {
  const finished = Date.parse(metadata.scanFinishedOn ?? '');
  return {
    kind: 'scan',
    scanner: scanner.uri,
    finished: Number.isNaN(finished) ? null : Math.floor(finished / 1000),
    vulnerabilities: scanner.result.map(({ id, severity, annotations }) => {
      const [first] = Array.isArray(annotations) ? (annotations as readonly unknown[]) : [];
      const { package: purl, fixed } = (first ?? {}) as { readonly package?: unknown; readonly fixed?: unknown };
      const said = severity.map(({ score }) => String(score).trim().toLowerCase());
      const scores = said.filter((one) => one !== '').map(Number).filter((one) => one >= 0 && one <= 10);
      const score = scores.length === 0 ? null : Math.max(...scores);
      const worst = Math.max(0, ...said.map((one) => ranks.indexOf(one as Severity)), ranks.indexOf(wordOf(score)));
      return { id, package: typeof purl === 'string' ? purl : '', severity: ranks[worst] ?? 'unknown', score, fixed: typeof fixed === 'string' ? fixed : null };
    }),
  };
}

/** FIRST's scale, for a scanner that says a score and no word. */
function wordOf(score: number | null): Severity {
  if (score === null) return 'unknown';
  if (score === 0) return 'none';
  return score < 4 ? 'low' : score < 7 ? 'medium' : score < 9 ? 'high' : 'critical';
}
