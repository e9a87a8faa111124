import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
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

test('reports of other tools become statements: signed, logged, attached, shown and verified', { timeout: 120_000 }, async (t) => {
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

  const audit = await machine.cairn('audit');
  assert.equal(audit.code, 0, audit.stdout + audit.stderr);
  assert.equal((await machine.cairn('promote', short, 'staging')).code, 0);
});
