import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { importReport, parsePredicate, predicateTypes, type ReportFormat } from '#attest';
import { canonicalJson } from '#core';
import { Broken, type Parser } from './engine.ts';

// Reports that other tools wrote: whoever gains from a green one writes it.

const folder = join(import.meta.dirname, '../fixtures/reports');
const markup = fc.letrec<{ element: string }>((tie) => ({
  element: fc.tuple(
    fc.constantFrom('testsuites', 'testsuite', 'testcase', 'failure', 'error', 'skipped', 'x', 'system-out'),
    fc.array(fc.tuple(fc.constantFrom('tests', 'failures', 'errors', 'name', 'status', 'result', 'time'), fc.constantFrom('0', '1', '-1', '1e9', 'NaN', 'failed', '&lt;', '&#0;', '&x;')), { maxLength: 3 }),
    fc.array(fc.oneof({ depthSize: 'small', withCrossShrink: false }, fc.constantFrom('', 'text', '<![CDATA[x]]>', '<!-- x -->'), tie('element')), { maxLength: 3 }),
  ).map(([name, attributes, children]) => `<${name}${attributes.map(([key, value]) => ` ${key}="${value}"`).join('')}>${children.join('')}</${name}>`),
})).element;

function importer(format: ReportFormat, files: readonly string[], grammar: fc.Arbitrary<string>): Parser {
  return {
    name: format,
    corpus: files.map((file) => readFileSync(join(folder, file))),
    grammar,
    // Saxes keeps the positions of a large document while it reads it.
    megabytes: 160,
    run: async (bytes) => {
      const { predicate, kind } = await importReport('report', bytes, format);
      parsePredicate(kind, { predicateType: predicateTypes[kind], subject: [], predicate });
      if (canonicalJson(predicate).byteLength > 40 * bytes.byteLength + 4096) throw new Broken('what was read is much larger than the report');
    },
  };
}

const json = fc.json({ maxDepth: 6 });

export const reportParsers: readonly Parser[] = [
  importer('junit', ['node.xml', 'pytest.xml', 'surefire.xml', 'jest.xml', 'gotestsum.xml'], markup),
  importer('sarif', ['semgrep.sarif', 'codeql.sarif'], json),
  importer('osv', ['osv-scanner.json'], json),
  importer('cyclonedx', ['npm.cdx.json', 'syft.cdx.json'], json),
  importer('spdx', ['npm.spdx.json'], json),
];
