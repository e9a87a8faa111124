import type { Digest } from '#core';
import { predicateTypes } from './predicates.ts';
import type { Statement, Subject } from './statement.ts';

/** in-toto/attestation: spec/v1/resource_descriptor.md. */
export interface ResourceDescriptor {
  readonly uri: string;
  readonly digest: Readonly<Record<string, string>>;
}

export interface ProvenanceInput {
  readonly subject: readonly Subject[];
  readonly application: string;
  /** The declared source, or the release's own name where none is declared: a clone's remote is never read. */
  readonly source: { readonly uri: string; readonly commit: string };
  /** The git tree that was built, where it is not the commit's. */
  readonly changes?: string | undefined;
  readonly stages: Digest;
  /** Names only, never values: network settings can hold credentials. */
  readonly environment: readonly string[];
  /** How the stages were kept from the rest of the machine; null where none ran. */
  readonly isolation: { readonly users: boolean; readonly limits: boolean; readonly reason: string | null } | null;
  readonly dependencies: readonly ResourceDescriptor[];
  readonly builder: { readonly id: string; readonly version: string };
  readonly invocation: string;
  readonly startedAt: string;
  readonly finishedAt: string;
}

export interface Provenance extends Statement {
  readonly predicateType: typeof predicateTypes.provenance;
}

/** SLSA provenance (slsa-framework/slsa: spec/v1.1/provenance.md). */
export function provenance(input: ProvenanceInput): Provenance {
  const source = { uri: input.source.uri, digest: { gitCommit: input.source.commit } };
  const { changes } = input;
  const tree = changes === undefined ? [] : [{ uri: `${input.source.uri}#changes`, digest: { gitTree: changes } }];
  return {
    predicateType: predicateTypes.provenance,
    subject: input.subject,
    predicate: {
      buildDefinition: {
        buildType: 'https://cairn.internal/build/v1',
        externalParameters: { application: input.application, source, stages: input.stages, ...(changes !== undefined && { changes }) },
        internalParameters: { environment: input.environment, ...(input.isolation !== null && { isolation: input.isolation }) },
        resolvedDependencies: [source, ...tree, ...input.dependencies],
      },
      runDetails: {
        builder: { id: input.builder.id, version: { cairn: input.builder.version } },
        metadata: { invocationId: input.invocation, startedOn: input.startedAt, finishedOn: input.finishedAt },
      },
    },
  };
}
