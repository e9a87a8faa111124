import { CairnError, canonicalJson, digestOf } from '#core';
import { predicateTypes } from './predicates.ts';
import { largestReport, notA, type Imported, type ReportFile, type ReportFormat } from './report.ts';

/** The largest predicate that is signed, in bytes: the log's API takes no more. */
const largestPredicate = 32 << 20;

const mark = Buffer.from('\uFEFF');

/**
 * What another tool wrote, as a predicate. Each importer is loaded when it is needed: readers of XML and of scores take their time.
 * @param format what the caller says that it is; otherwise it is told by its first words
 * @throws CairnError `malformed-document`
 */
export async function importReport(name: string, bytes: Uint8Array, format?: ReportFormat): Promise<Imported & { readonly predicateType: string; readonly report: ReportFile['digest'] }> {
  if (bytes.byteLength > largestReport) throw tooLarge(name, bytes.byteLength, largestReport);
  // Some tools begin a text with a mark of its byte order, which is no part of it.
  const text = Buffer.from(bytes).subarray(0, 3).equals(mark) ? bytes.subarray(3) : bytes;
  const file: ReportFile = { bytes: text, digest: digestOf(bytes), name };
  const imported = await read(file, format ?? recognise(file));
  const size = canonicalJson(imported.predicate).byteLength;
  if (size > largestPredicate) throw tooLarge(`what ${name} comes to`, size, largestPredicate);
  return { ...imported, predicateType: predicateTypes[imported.kind], report: file.digest };
}

async function read(file: ReportFile, format: ReportFormat): Promise<Imported> {
  switch (format) {
    case 'junit':
      return (await import('./import-junit.ts')).importJunit(file);
    case 'sarif':
      return (await import('./import-sarif.ts')).importSarif(file);
    case 'osv':
      return (await import('./import-osv.ts')).importOsv(file);
    case 'cyclonedx':
      return (await import('./import-cyclonedx.ts')).importCyclonedx(file);
    case 'spdx':
      return (await import('./import-spdx.ts')).importSpdx(file);
    default:
      return format satisfies never;
  }
}

/** By what only one of them can hold at its top. The importer looks at the rest. */
function recognise({ bytes, name }: ReportFile): ReportFormat {
  const text = Buffer.from(bytes).toString('utf8');
  if (/^\s*</.test(text)) return 'junit';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CairnError('malformed-document', `${name} is neither XML nor JSON${text === '' ? ': it is empty' : ''}`, { cause, fix: 'Write the report again, and look at how the tool ended' });
  }
  const fields = typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : {};
  if (fields['bomFormat'] === 'CycloneDX') return 'cyclonedx';
  if ('spdxVersion' in fields) return 'spdx';
  if ('runs' in fields && 'version' in fields) return 'sarif';
  if (Array.isArray(fields['results'])) return 'osv';
  throw notA(name, 'it is none of JUnit, SARIF, OSV-scanner, CycloneDX, SPDX', 'Say what it is, such as --sarif FILE, and the error says what is wrong with it');
}

function tooLarge(what: string, size: number, limit: number): CairnError {
  return new CairnError('malformed-document', `${what} has ${size} bytes, more than the ${limit} allowed`, { fix: 'Have the tool write less, such as packages without their files', context: { reason: 'too-large' } });
}
