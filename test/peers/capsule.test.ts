import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { library } from '../support/library.ts';
import { passphrase } from '../support/machine.ts';
import { pathOf, skipWithout } from './tools.ts';

const skip = skipWithout('cosign', 'tar', 'unshare');
const execute = promisify(execFile);

/** The commands of a page, a line each, as they stand in it. */
function commandsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```/gms)].flatMap(([, lines = '']) => lines.trim().split('\n'));
}

test("a capsule's README does the same with cosign alone, by the commands that stand in it, with the network gone", { skip, timeout: 120_000 }, async (t) => {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, packages: { ms: '1.0.0' }, message: 'Start' });
  await assert.rejects(shop.promote(release, 'production'));
  for (const place of ['staging', 'production'] as const) await shop.promote(release, place);
  const file = join(shop.folder, 'shop.capsule.tar');
  await shop.json('audit', '--capsule', file);
  const folder = join(shop.folder, 'unpacked');
  await mkdir(folder);
  await execute('tar', ['-xf', file, '-C', folder]);
  const commands = commandsOf(await readFile(join(folder, 'README.md'), 'utf8'));
  const cosign = commands.filter((command) => command.startsWith('cosign '));
  const env = { PATH: [dirname(pathOf('cosign')), process.env['PATH']].join(delimiter), HOME: folder };
  const ran = (command: string, cwd: string) => execute('unshare', ['-rn', 'sh', '-ec', command], { cwd, env, timeout: 60_000 }).then(() => 0, (error: { code: number }) => error.code);

  await t.test('each command holds', async () => {
    assert.equal(cosign.length, 17, 'every statement has one');
    for (const command of commands) assert.equal(await ran(command, folder), 0, command);
  });

  await t.test('none of those that verify holds for a statement that was changed, another key, or another log', async () => {
    const admitted = cosign.find((command) => command.includes('admit-production.pub')) ?? '';
    assert.match(admitted, /verdicts\/\d{8}-passed-production\.sigstore\.json/);
    assert.notEqual(await ran(admitted.replace('admit-production.pub', 'admit-staging.pub'), folder), 0);
    assert.notEqual(await ran(admitted.replace(release.slice(7), '0'.repeat(64)), folder), 0);
    const root = join(folder, 'trust/trusted_root.json');
    const text = await readFile(root, 'utf8');
    const keyId = (JSON.parse(text) as { tlogs: { logId: { keyId: string } }[] }).tlogs[0]?.logId.keyId ?? '';
    await writeFile(root, text.replace(keyId, Buffer.alloc(32, 7).toString('base64')));
    assert.notEqual(await ran(admitted, folder), 0);
  });
  await rm(folder, { recursive: true });
});

test('what cosign signed is in the capsule as cosign wrote it, and is weighed again by its own signature', { skip, timeout: 120_000 }, async (t) => {
  const shop = await library(t);
  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, packages: { ms: '1.0.0' }, message: 'Start' });
  const folder = join(shop.folder, 'cosign');
  await mkdir(folder);
  await writeFile(join(folder, 'scan.json'), JSON.stringify({ scanner: { uri: 'https://example.com/scanner', version: '1', db: {}, result: [] }, metadata: { scanStartedOn: '2026-01-01T00:00:00Z', scanFinishedOn: '2026-01-01T00:00:00Z' } }));
  for (const name of ['signing_config', 'trusted_root']) await writeFile(join(folder, `${name}.json`), await (await fetch(`${shop.url}/sigstore/${name}.json`)).text());
  const reference = `${new URL(shop.url).host}/shop@${release}`;
  const parameters = ['attest', '--yes', '--key', join(shop.home.paths.people, 'ada.key'), '--signing-config', 'signing_config.json', '--trusted-root', 'trusted_root.json', '--type', 'https://in-toto.io/attestation/vulns/v0.2', '--predicate', 'scan.json', reference];
  await execute(pathOf('cosign'), parameters, { cwd: folder, timeout: 60_000, env: { HOME: folder, PATH: process.env['PATH'] ?? '', COSIGN_PASSWORD: passphrase } });
  await shop.promote(release, 'staging');
  const file = join(shop.folder, 'shop.capsule.tar');
  await shop.json('audit', '--capsule', file, release);
  const { statements, verdicts } = await shop.json<{ statements: { kind: string; path: string }[]; verdicts: { decided: boolean; weighed: number }[] }>('verify', '--capsule', file);
  const foreign = statements.filter(({ kind }) => kind === 'foreign');
  assert.equal(foreign.length, 1);
  assert.deepEqual(verdicts.map(({ decided, weighed }) => [decided, weighed]), [[true, 4]], 'provenance, bill, tests, and what cosign signed');

  await execute('tar', ['-xf', file, '-C', folder]);
  const inner = `foreign/${/\d{8}/.exec(foreign[0]?.path ?? '')?.[0]}.sigstore.json`;
  const commands = commandsOf(await readFile(join(folder, 'README.md'), 'utf8')).filter((command) => command.includes(inner));
  assert.equal(commands.length, 1);
  assert.match(commands[0] ?? '', /--key trust\/people\/ada\.pub/);
  const env = { PATH: [dirname(pathOf('cosign')), process.env['PATH']].join(delimiter), HOME: folder };
  await execute('sh', ['-ec', commands[0] ?? ''], { cwd: folder, env, timeout: 60_000 });
});
