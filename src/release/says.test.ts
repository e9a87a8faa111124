import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { importReport, predicateTypes } from '#attest';
import { saysOf } from './says.ts';

const of = async (name: string) => {
  const { predicateType, predicate } = await importReport(name, readFileSync(join(import.meta.dirname, '../../test/fixtures/reports', name)));
  return saysOf({ predicateType, subject: [], predicate });
};

test('a gate reads packages of both kinds of bills alike, nested ones among them', async () => {
  assert.deepEqual(await of('syft.cdx.json'), {
    kind: 'sbom',
    packages: [
      { purl: 'pkg:npm/express@4.19.2', name: 'express', version: '4.19.2', licenses: ['MIT'] },
      { purl: 'pkg:npm/qs@6.11.0', name: 'qs', version: '6.11.0', licenses: [] },
      { purl: '', name: 'debian', version: '12', licenses: [] },
    ],
  });
  const spdx = await of('npm.spdx.json');
  assert.ok(spdx?.kind === 'sbom');
  assert.deepEqual(spdx.packages.find(({ name }) => name === 'ms'), { purl: 'pkg:npm/ms@2.1.3', name: 'ms', version: '2.1.3', licenses: ['MIT'] });
});

test('a gate reads vulnerabilities with word, score and what mends them, and findings with their level', async () => {
  const scan = await of('osv-scanner.json');
  assert.ok(scan?.kind === 'scan');
  assert.deepEqual(scan.vulnerabilities[1], { id: 'GHSA-xvch-5gv4-984h', package: 'pkg:npm/minimist@1.2.5', severity: 'critical', score: 9.8, fixed: '1.2.6' });
  const findings = await of('codeql.sarif');
  assert.ok(findings?.kind === 'findings');
  assert.deepEqual(findings.findings.map(({ level }) => level), ['error', 'note', 'none', 'warning']);
});

test("a scanner's kinder word does not hide its score, nor an empty score the lack of one", () => {
  const scan = (severity: object[]) => {
    const said = saysOf({ predicateType: predicateTypes.scan, subject: [], predicate: { scanner: { uri: 'x', result: [{ id: 'A', severity }] }, metadata: {} } });
    assert.ok(said?.kind === 'scan');
    const [{ severity: word, score } = { severity: undefined, score: undefined }] = said.vulnerabilities;
    return [word, score];
  };
  assert.deepEqual(scan([{ method: 'own', score: 'low' }, { method: 'nvd', score: '9.8' }]), ['critical', 9.8]);
  assert.deepEqual(scan([{ method: 'nvd', score: '' }]), ['unknown', null]);
  assert.deepEqual(scan([]), ['unknown', null]);
});

test('a type that no rule reads says nothing', () => {
  assert.equal(saysOf({ predicateType: 'https://example.com/own/v1', subject: [], predicate: {} }), undefined);
  assert.deepEqual(saysOf({ predicateType: 'https://sigstore.dev/cosign/sign/v1', subject: [], predicate: {} }), { kind: 'signature' });
});

test('a bill, a document or a scan that describes a package by what is no text is refused and never a crash', () => {
  const say = (predicateType: string, predicate: unknown) => saysOf({ predicateType, subject: [], predicate });
  const bill = (component: unknown) => say(predicateTypes.sbom, { bomFormat: 'CycloneDX', components: [component] });
  const malformed = { code: 'malformed-document' };
  for (const component of [null, {}, { name: 1 }, { name: 'a', licenses: [null] }, { name: 'a', licenses: [{ license: { id: 5 } }] }, { name: 'a', version: 1 }, { name: 'a', components: [{}] }, { name: 'a', components: [{ name: 'b', purl: {} }] }]) assert.throws(() => bill(component), malformed, JSON.stringify(component));
  for (const one of [{ name: 'a', externalRefs: [null] }, { name: 'a', versionInfo: 1 }, { name: 'a', licenseConcluded: ['MIT'] }]) assert.throws(() => say(predicateTypes.spdx, { spdxVersion: 'SPDX-2.3', packages: [one] }), malformed, JSON.stringify(one));
  const scan = (annotations: unknown) => say(predicateTypes.scan, { scanner: { uri: 'x', result: [{ id: 'CVE-1', annotations }] } });
  for (const annotations of [[null], null, 'x', [{ package: {}, fixed: 1 }]]) assert.deepEqual((scan(annotations) as unknown as { vulnerabilities: unknown[] }).vulnerabilities, [{ id: 'CVE-1', package: '', severity: 'unknown', score: null, fixed: null }]);
});
