import { CairnError, parseStrictJson, type Digest } from '#core';

/** Reports that other tools write. */
export const reportFormats = ['junit', 'sarif', 'osv', 'cyclonedx', 'spdx'] as const;
export type ReportFormat = (typeof reportFormats)[number];

/** A report as the predicate of a statement. */
export interface Imported {
  readonly format: ReportFormat;
  readonly kind: 'tests' | 'findings' | 'scan' | 'sbom' | 'spdx';
  readonly predicate: unknown;
}

/** The report that an importer reads: its bytes, their digest, and the name of its file. */
export interface ReportFile {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly name: string;
}

/** The largest report that is read, in bytes. A bill with every file of a distribution stays below it. */
export const largestReport = 64 << 20;

/** JSON that all readers understand alike: one key twice is refused, or the report could say one thing to us and another to who reads it again. */
export function reportJson({ bytes }: ReportFile, what: string): unknown {
  const value = parseStrictJson(bytes, what, largestReport);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notA(what, 'it is no JSON object');
  return value;
}

export function notA(what: string, why: string, fix = 'Write the report again, and look at how the tool ended'): CairnError {
  return new CairnError('malformed-document', `${what} is refused: ${why}`, { fix });
}
