import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { CairnError } from '#core';
import { importReport, largestReport, parsePredicate, predicateTypes, type ReportFormat } from './index.ts';

const folder = join(import.meta.dirname, '../../test/fixtures/reports');
const fixture = (name: string) => readFileSync(join(folder, name));
const read = (content: string | Uint8Array, format?: ReportFormat) => importReport('report', typeof content === 'string' ? Buffer.from(content) : content, format);
const refused = (content: string | Uint8Array, words: RegExp, format?: ReportFormat) => assert.rejects(read(content, format), (error: CairnError) => error.code === 'malformed-document' && words.test(error.message));
const parsed = async <N extends 'tests' | 'scan' | 'findings' | 'sbom' | 'spdx'>(name: N, content: string | Uint8Array, format?: ReportFormat) => {
  const { predicate, predicateType } = await read(content, format);
  return parsePredicate(name, { predicateType, subject: [], predicate });
};

test('reports are told apart by what is in them', async () => {
  const forms = { 'node.xml': 'junit', 'pytest.xml': 'junit', 'surefire.xml': 'junit', 'semgrep.sarif': 'sarif', 'codeql.sarif': 'sarif', 'osv-scanner.json': 'osv', 'npm.cdx.json': 'cyclonedx', 'syft.cdx.json': 'cyclonedx', 'npm.spdx.json': 'spdx' };
  for (const [name, format] of Object.entries(forms)) assert.equal((await importReport(name, fixture(name))).format, format, name);
  await refused('{"a":1}', /none of JUnit/);
  await refused('', /empty/);
  await refused('passed', /neither XML nor JSON/);
});

const counts = async (name: string) => {
  const { result, 'https://cairn.internal/tests/v1': counted } = await parsed('tests', fixture(name));
  return [result, counted?.passed, counted?.failed, counted?.['skipped']];
};

test('JUnit of Node, pytest, Surefire, Jest and gotestsum is counted test by test', async () => {
  assert.deepEqual(await counts('node.xml'), ['FAILED', 1, 1, 1]);
  assert.deepEqual(await counts('node-passed.xml'), ['PASSED', 2, 0, 0]);
  assert.deepEqual(await counts('pytest.xml'), ['FAILED', 1, 2, 1]);
  assert.deepEqual(await counts('surefire.xml'), ['PASSED', 2, 0, 1]);
  assert.deepEqual(await counts('jest.xml'), ['FAILED', 1, 1, 0]);
  assert.deepEqual(await counts('gotestsum.xml'), ['PASSED', 2, 0, 0]);
});

test('a JUnit report with a failure anywhere never becomes PASSED', async () => {
  const of = async (text: string) => (await parsed('tests', text)).result;
  assert.equal(await of('<testsuite><testcase name="a"/><testcase name="b"><error/></testcase></testsuite>'), 'FAILED');
  assert.equal(await of('<testsuite><failure>no database</failure><testcase name="a"/></testsuite>'), 'FAILED', 'beside every test');
  assert.equal(await of('<testsuite failures="1"><testcase name="a"/></testsuite>'), 'FAILED', 'only in the count');
  assert.equal(await of('<testsuites errors="2"><testsuite><testcase name="a"/></testsuite></testsuites>'), 'FAILED', 'only in the count of all');
  assert.equal(await of('<testsuite><testcase name="a" status="failed"/></testsuite>'), 'FAILED', 'only as a word');
  assert.equal(await of('<testsuite><testcase name="a"><FAILURE/></testcase></testsuite>'), 'FAILED', 'in another spelling');
  assert.equal(await of('<testsuite><testcase name="a"><skipped/><failure/></testcase></testsuite>'), 'FAILED', 'and left out as well');
  assert.equal(await of('<testsuite><testcase name="a"><skipped/></testcase></testsuite>'), 'WARNED', 'nothing ran');
});

test('a JUnit report that is empty, cut off or shorter than it says is refused', async () => {
  await refused('<testsuites/>', /lists no test/);
  await refused('', /empty/);
  await refused('', /whole XML|lists no test/, 'junit');
  await refused(fixture('pytest.xml').subarray(0, 400), /no whole XML/);
  await refused('<testsuite tests="3"><testcase name="a"/></testsuite>', /says that it has 3 tests, and lists 1/);
  await refused('<testsuite tests="many"><testcase name="a"/></testsuite>', /no number/);
  await refused('<html><testcase name="a"/></html>', /root is html/);
  await refused('<testsuite><testcase name="a" name="b"/></testsuite>', /whole XML/);
});

test('a JUnit report with external entities is refused, and nothing is read for it', async () => {
  const declared = (dtd: string, used: string) => `<?xml version="1.0"?>\n<!DOCTYPE testsuite ${dtd}>\n<testsuite><testcase name="a"/><system-out>${used}</system-out></testsuite>`;
  await refused(declared('[<!ENTITY x SYSTEM "file:///etc/passwd">]', '&x;'), /DOCTYPE/);
  await refused(declared('SYSTEM "http://127.0.0.1:1/evil.dtd"', ''), /DOCTYPE/);
  await refused(declared('[<!ENTITY a "aa"><!ENTITY b "&a;&a;">]', '&b;'), /DOCTYPE/);
  await refused('<testsuite><testcase name="a"/><system-out>&x;</system-out></testsuite>', /whole XML/);
  await refused(Buffer.from('<?xml version="1.0" encoding="utf-16"?><testsuite><testcase name="a"/></testsuite>'), /encoding/);
  await refused(`${'<testsuite>'.repeat(200)}<testcase name="a"/>${'</testsuite>'.repeat(200)}`, /nested deeper/);
});

test('whatever is cut out of a JUnit report with a failure, it is not PASSED', async () => {
  const text = fixture('jest.xml').toString();
  await fc.assert(fc.asyncProperty(fc.nat(text.length), fc.nat(80), async (at, length) => {
    const cut = text.slice(0, at) + text.slice(at + length);
    // The failure itself may be what is cut out; the counts then still admit it.
    const result = await parsed('tests', cut, 'junit').then((one) => one.result, (error: CairnError) => error.code);
    assert.ok(result === 'FAILED' || result === 'malformed-document', `${result}: ${cut}`);
  }), { numRuns: 300 });
});

test('SARIF levels are those of result, rule and kind, and what is suppressed stays to be seen', async () => {
  const semgrep = await parsed('findings', fixture('semgrep.sarif'));
  assert.equal(semgrep.tool, 'Semgrep OSS');
  assert.equal(semgrep.version, '1.99.0');
  assert.deepEqual(semgrep.findings.map(({ rule, level, location, suppressed }) => ({ rule, level, location, suppressed })), [
    { rule: 'javascript.lang.security.eval', level: 'error', location: 'server.js:12', suppressed: undefined },
    { rule: 'javascript.lang.radix', level: 'none', location: 'cart.js:4', suppressed: 'note' },
  ]);
  const codeql = await parsed('findings', fixture('codeql.sarif'));
  assert.deepEqual(codeql.findings.map(({ level }) => level), ['error', 'note', 'none', 'warning']);
});

test('SARIF of a run that failed, or whose results are elsewhere or missing, is refused', async () => {
  const sarif = (run: object) => JSON.stringify({ version: '2.1.0', runs: [{ tool: { driver: { name: 't' } }, results: [], ...run }] });
  await refused(sarif({ invocations: [{ executionSuccessful: false }] }), /did not succeed/);
  await refused(sarif({ results: undefined }), /results/);
  await refused(sarif({ results: null }), /results/);
  await refused(sarif({ externalPropertyFileReferences: { results: [{ guid: 'x' }] } }), /other files/);
  await refused(JSON.stringify({ version: '2.1.0', runs: [] }), /runs/);
  await refused(JSON.stringify({ version: '2.0.0', runs: [] }), /version/);
  await refused('{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[{"message":{},"level":"error","level":"note"}]}]}', /twice/);
  const overridden = sarif({
    tool: { driver: { name: 't', rules: [{ id: 'R', defaultConfiguration: { level: 'note' } }] } },
    invocations: [{ executionSuccessful: true, ruleConfigurationOverrides: [{ descriptor: { id: 'R' }, configuration: { level: 'error' } }] }],
    results: [{ ruleId: 'R/1', message: { text: '' } }, { ruleId: 'R', message: { text: '' }, suppressions: [{ status: 'underReview' }] }],
  });
  assert.deepEqual((await parsed('findings', overridden)).findings.map(({ level }) => level), ['error', 'error']);
});

test('OSV-Scanner: one vulnerability for a group of aliases, with its worst score, its word and what mends it', async () => {
  const { scanner } = await parsed('scan', fixture('osv-scanner.json'));
  assert.deepEqual(scanner.result.map(({ id, severity, annotations }) => ({ id, severity, annotations })), [
    {
      id: 'GHSA-4v7x-pqxf-cx7m', severity: [{ method: 'CVSS:3.1', score: '5.3' }, { method: 'severity', score: 'medium' }],
      annotations: [{ package: 'pkg:golang/golang.org/x/net@0.20.0', fixed: '0.23.0', aliases: ['CVE-2023-45288', 'GO-2024-2687'], vector: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L' }],
    },
    {
      id: 'GHSA-xvch-5gv4-984h', severity: [{ method: 'CVSS:3.1', score: '9.8' }, { method: 'severity', score: 'critical' }],
      annotations: [{ package: 'pkg:npm/minimist@1.2.5', fixed: '1.2.6', aliases: ['CVE-2021-44906'], vector: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H' }],
    },
  ]);
  assert.deepEqual((await parsed('scan', '{"results":[]}')).scanner.result, []);
  await refused('{"results":null}', /results/, 'osv');
  await refused('{}', /results/, 'osv');
});

test('bills of materials are taken as they are, and an empty one is refused', async () => {
  assert.deepEqual((await read(fixture('npm.cdx.json'))).predicate, JSON.parse(fixture('npm.cdx.json').toString()));
  assert.equal((await parsed('spdx', fixture('npm.spdx.json'))).packages.length, 2);
  await refused('{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}', /no component/);
  await refused('{"bomFormat":"CycloneDX","specVersion":"1.3","components":[{"type":"library","name":"a"}]}', /specVersion/);
  await refused('{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"a","documentNamespace":"x","creationInfo":{"created":"","creators":["Tool: x"]},"packages":[]}', /no package/);
  await refused(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":${'['.repeat(100)}${']'.repeat(100)}}`, /nests deeper/);
});

test('a report that is larger than allowed is refused before it is read', async () => {
  await refused(Buffer.alloc(largestReport + 1, 32), /more than the/);
});

test('no text makes an importer fail otherwise than by refusing it', async () => {
  const piece = fc.constantFrom('<testsuite>', '</testsuite>', '<testcase name="a">', '</testcase>', '<failure/>', '<![CDATA[', ']]>', '<!--', '<?x?>', '&amp;', '&#0;', '{"version":"2.1.0","runs":[', ']}', '{"results":[{"packages":[', '{"bomFormat":"CycloneDX",', '"components":[', '{"__proto__":1}', 'null', '\ud800', '\0');
  for (const format of [undefined, 'junit', 'sarif', 'osv', 'cyclonedx', 'spdx'] as const) {
    await fc.assert(fc.asyncProperty(fc.array(fc.oneof(piece, fc.string()), { maxLength: 12 }), async (parts) => {
      await read(parts.join(''), format).then(({ predicateType }) => assert.ok(Object.values<string>(predicateTypes).includes(predicateType)), (error: unknown) => assert.equal((error as CairnError).code, 'malformed-document', String((error as Error).stack)));
    }), { numRuns: 150 });
  }
});
