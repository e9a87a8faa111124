import { billOfMaterials, provenance, releaseNotes, subjectOf, testResult, type BillPackage, type Statement } from '#attest';
import type { Built, Commit } from '#build';
import type { ReleaseBlobs } from '#release';

export interface Vouching {
  readonly built: Built;
  readonly made: ReleaseBlobs;
  readonly commit: Commit;
  readonly origin: string;
  readonly person: string;
  readonly version: string;
  readonly invocation: string;
  readonly notes: {
    readonly since: string | null;
    readonly commits: readonly { readonly commit: string; readonly subject: string; readonly author: string }[];
  };
}

/** What whoever builds a release says of it. Provenance is the last. */
export function statementsOf(of: Vouching): { kind: string; statement: Statement }[] {
  const { built, made, commit, notes } = of;
  const { application } = made.document;
  const components = made.document.components.map((one) => subjectOf(one.name, one.digest));
  const release = subjectOf(application, made.digest);
  const sbom = billOfMaterials({
    subject: components,
    application,
    commit: commit.commit,
    packages: packagesOf(built),
    direct: built.locked.direct,
    version: of.version,
  });
  const tests =
    built.tests === null ? [] : [{ kind: 'tests', statement: testResult({ subject: [release, ...components], stages: built.stages, ...built.tests }) }];
  return [
    { kind: 'sbom', statement: sbom },
    ...tests,
    { kind: 'notes', statement: releaseNotes({ subject: release, ...notes }) },
    { kind: 'provenance', statement: provenanceOf(of, [release, ...components]) },
  ];
}

function provenanceOf({ built, made, commit, origin, person, version, invocation }: Vouching, subject: Statement['subject']): Statement {
  const { definition, locked, fetched, toolchain } = built;
  const { application } = made.document;
  const packages = locked.packages
    .filter(({ purl, digest }) => fetched.has(purl) && Object.keys(digest).length > 0)
    .map(({ purl, digest }) => ({ uri: purl, digest }));
  const tools = toolchain.map((tool) => ({ uri: `pkg:generic/${tool.name}@${tool.version}`, digest: { sha256: tool.digest.slice(7) } }));
  return provenance({
    subject,
    application,
    source: { uri: definition.source ?? `git+https://${origin}/${application}`, commit: commit.commit },
    changes: commit.changes?.tree,
    stages: built.stages,
    environment: built.environment,
    isolation: built.isolation,
    dependencies: [...packages, ...tools],
    builder: { id: `https://${origin}/builders/${person}`, version },
    invocation,
    startedAt: built.startedAt,
    finishedAt: built.finishedAt,
  });
}

/** What runs: the locked packages that are not for development alone, and what they run on. */
function packagesOf({ locked, toolchain }: Built): BillPackage[] {
  const libraries = locked.packages.filter((one) => one.runtime);
  const node = toolchain
    .filter(({ name }) => name === 'node')
    .map(({ name, version, digest }) => ({
      type: 'platform' as const,
      purl: `pkg:generic/${name}@${version}`,
      name,
      version,
      digest: { sha256: digest.slice(7) },
    }));
  const go = toolchain
    .filter(({ name }) => name === 'go')
    .map(({ version }) => ({ type: 'library' as const, purl: `pkg:golang/std@${version}`, name: 'std', version, digest: {} }));
  return [...libraries, ...node, ...go];
}
