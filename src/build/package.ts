/** Something of others' that a build was made from. */
export interface Package {
  /** github.com/package-url/purl-spec */
  readonly purl: string;
  readonly name: string;
  readonly version: string;
  /** Hex by name of the algorithm (in-toto/attestation: spec/v1/digest_set.md). */
  readonly digest: Readonly<Record<string, string>>;
  /** As its author wrote it. */
  readonly license: string | undefined;
  /** Whether it can be part of what runs, or only served the build. */
  readonly runtime: boolean;
  /** purls of what it needs. */
  readonly dependsOn: readonly string[];
}

export interface Locked {
  readonly packages: readonly Package[];
  /** purls of what the application itself needs. */
  readonly direct: readonly string[];
}

export const nothingLocked: Locked = { packages: [], direct: [] };
