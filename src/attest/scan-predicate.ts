import type { Rating } from './osv.ts';

/** One vulnerability of one package. */
export interface Found extends Rating {
  readonly id: string;
  readonly aliases: readonly string[];
  /** purl; empty where the report names none. */
  readonly package: string;
  readonly fixed: string | null;
}

export interface Scanned {
  readonly scanner: { readonly uri: string; readonly version: string | null };
  readonly database?: { readonly uri: string; readonly version: string; readonly lastUpdate: string | null };
  /** RFC 3339; absent where the report does not say. */
  readonly started?: string | undefined;
  readonly finished?: string | undefined;
  readonly found: readonly Found[];
}

/** in-toto/attestation: spec/predicates/vuln.md, v0.2. What the specification has no place for stands in `annotations`, as it asks. */
export function scanPredicate({ scanner, database, started, finished, found }: Scanned): object {
  const sorted = found.toSorted((a, b) => (a.id === b.id ? (a.package < b.package ? -1 : a.package > b.package ? 1 : 0) : a.id < b.id ? -1 : 1));
  return {
    scanner: {
      uri: scanner.uri,
      ...(scanner.version !== null && { version: scanner.version }),
      ...(database !== undefined && { db: { uri: database.uri, version: database.version, ...(database.lastUpdate !== null && { lastUpdate: database.lastUpdate }) } }),
      result: sorted.map(({ id, aliases, package: purl, severity, score, method, vector, fixed }) => ({
        id,
        severity: [...(score === null ? [] : [{ method: method ?? 'score', score: String(score) }]), { method: 'severity', score: severity }],
        annotations: [{ package: purl, fixed, aliases, ...(vector !== null && { vector }) }],
      })),
    },
    metadata: { ...(started !== undefined && { scanStartedOn: started }), ...(finished !== undefined && { scanFinishedOn: finished }) },
  };
}
