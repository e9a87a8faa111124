import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundleMediaType } from '#attest';
import { registryClient } from '#oci';
import { Machine, top } from '../support/machine.ts';

const fixtures = join(top, 'test/fixtures/reports');
const fixture = (name: string) => join(fixtures, name);
interface Attested {
  readonly statements: readonly { readonly kind: string; readonly says: string; readonly logIndex: number; readonly statement: string }[];
}

test('reports of other tools become statements: signed, logged, attached, shown and verified', { timeout: 300_000 }, async (t) => {
  const machine = await Machine.make(t);
  await machine.init();
  await machine.startUp();
  const release = await machine.release();
  const short = release.slice(7, 19);

  const ran = await machine.cairn('attest', short, fixture('node-passed.xml'), '--sarif', fixture('semgrep.sarif'), '--osv', fixture('osv-scanner.json'), fixture('npm.cdx.json'), fixture('npm.spdx.json'), '--json');
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  const { statements } = ran.json as Attested;
  assert.deepEqual(statements.map(({ kind, says }) => `${kind}: ${says}`).toSorted(), [
    'findings: Semgrep OSS: 2 findings: 1 error, 1 none', 'sbom: 1 package', 'scan: 2 vulnerabilities: 1 critical, 1 medium', 'spdx: 2 packages', 'tests: 2 passed',
  ]);
  const verified = await machine.cairn('verify', short, '--json');
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  const seen = (verified.json as { statements: { envelope: string; attached: boolean }[] }).statements;
  for (const { statement } of statements) assert.equal(seen.find(({ envelope }) => envelope === statement)?.attached, true, statement);
  assert.match((await machine.cairn('show', short)).stdout, /scan +2 vulnerabilities: 1 critical, 1 medium/);
  assert.ok((await registryClient(machine.url, 'hello').referrers(release)).filter(({ artifactType }) => artifactType === bundleMediaType).length >= 5);

  // Nothing is said of a report where another one in the same call is refused.
  const before = (await (await machine.api()).info()).checkpoint.size;
  await writeFile(join(machine.repository, 'cut.xml'), '<testsuite tests="2"><testcase name="a"/>');
  const cut = await machine.cairn('attest', short, fixture('node-passed.xml'), 'cut.xml', '--json');
  assert.equal(cut.code, 4);
  assert.equal((cut.json as { error: { code: string } }).error.code, 'malformed-document');
  assert.equal((await (await machine.api()).info()).checkpoint.size, before);

  // A 130 MB statement, through the two doors of the command; the API and the registry have tests of their own.
  await writeFile(join(machine.repository, 'large.json'), Buffer.alloc(130 << 20, ' '));
  for (const parameters of [['--bundle', 'large.json'], ['--sarif', 'large.json'], ['large.json']]) {
    const large = await machine.cairn('attest', short, ...parameters, '--json');
    const { error } = large.json as { error: { code: string; context: { reason?: string } } };
    assert.deepEqual([large.code, error.code, error.context.reason], [4, 'malformed-document', 'too-large'], parameters.join(' '));
  }

  // The bill that came with the release names Node alone, the one of npm names ms.
  const osv = join(machine.repository, 'osv');
  await mkdir(join(osv, 'npm'), { recursive: true });
  const entry = { id: 'GHSA-w9mr-4mfr-499f', aliases: ['CVE-2017-20162'], modified: '2024-02-01T00:00:00Z', affected: [{ package: { ecosystem: 'npm', name: 'ms' }, ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, { fixed: '2.2.0' }] }] }], severity: [{ type: 'CVSS_V3', score: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L' }] };
  await writeFile(join(osv, 'npm', `${entry.id}.json`), JSON.stringify(entry));
  const scanned = await machine.cairn('scan', short, '--osv', 'osv', '--json');
  assert.equal(scanned.code, 0, scanned.stdout + scanned.stderr);
  assert.deepEqual((scanned.json as { vulnerabilities: unknown[] }).vulnerabilities, [{ id: entry.id, aliases: entry.aliases, package: 'pkg:npm/ms@2.1.3', severity: 'medium', score: 5.3, fixed: '2.2.0' }]);
  const again = await machine.cairn('scan', short, '--osv', 'osv', '--json');
  assert.deepEqual((again.json as { database: unknown }).database, (scanned.json as { database: unknown }).database);
  await writeFile(join(osv, 'npm', 'cut.json'), '{"id":"GHSA');
  assert.equal((await machine.cairn('scan', short, '--osv', 'osv')).code, 4);

  assert.equal((await machine.cairn('promote', short, 'staging')).code, 0);
  const audit = await machine.cairn('audit');
  assert.equal(audit.code, 0, audit.stdout + audit.stderr);
});
