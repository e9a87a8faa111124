import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { library } from './support/library.ts';
import { top } from './support/machine.ts';

const guide = join(top, 'docs/guides/evidence.md');
const fence = /^```console\n\$ cairn ([^\n]*)\n([\s\S]*?)^```$/gm;

/** What stays when digests, numbers and the width of columns are taken out. */
function shape(text: string): string {
  return text.replaceAll(/\b[0-9a-f]{12}\b/g, '#').replaceAll(/\d+/g, '0').replaceAll(/[ \t]+/g, ' ').trim();
}

test('the guide to evidence prints what it says', { timeout: 60_000 }, async (t) => {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': '// one\n' }, packages: { ms: '2.1.3' }, message: 'one' });
  const reports = { 'results.xml': 'node-passed.xml', 'semgrep.sarif': 'semgrep.sarif', 'osv.json': 'osv-scanner.json', 'bom.cdx.json': 'npm.cdx.json' };
  for (const [name, from] of Object.entries(reports)) await copyFile(join(top, 'test/fixtures/reports', from), join(shop.repository, name));
  await mkdir(join(shop.repository, 'osv'));
  const entry = { id: 'GHSA-w9mr-4mfr-499f', modified: '2024-02-01T00:00:00Z', affected: [{ package: { ecosystem: 'npm', name: 'ms' }, ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, { fixed: '2.2.0' }] }] }], severity: [{ type: 'CVSS_V3', score: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L' }] };
  await writeFile(join(shop.repository, 'osv/one.json'), JSON.stringify(entry));
  const steps = [...(await readFile(guide, 'utf8')).matchAll(fence)];
  assert.equal(steps.length, 3);
  for (const [, command = '', printed = ''] of steps) {
    const ran = await shop.cairn(...command.replaceAll('4f1c2d3e5a6b', release.slice(7, 19)).split(' '));
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.equal(shape(ran.stdout), shape(printed), command);
  }
});
