import assert from 'node:assert/strict';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { resolveCommit } from '#build';
import { buildOf, git, plainHost, repository, scratch, yamlFor } from './fixture.ts';

const application = 'built';
const yaml = (run: string, network = false) => yamlFor(application, run, network);
const build = (folder: string, host: Record<string, string | undefined> = {}) => buildOf(folder, { application, host });

test('the same files give the same component, whatever the commit, the clock and the umask', async () => {
  const files = { 'cairn.yaml': yaml('mkdir out && cp server.js out/ && date > out/when && umask > out/mask'), 'server.js': 'serve();\n' };
  const first = await repository({ ...files, 'cairn.yaml': yaml('mkdir out && cp server.js out/ && umask > out/mask') });
  const before = await build(first);
  git(first, 'commit', '-qm', 'Nothing', '--allow-empty');
  const mask = process.umask(0o077);
  try {
    assert.equal((await build(first)).digest, before.digest);
  } finally {
    process.umask(mask);
  }
  assert.match(before.digest ?? '', /^sha256:/);
});

test('a stage sees neither keys nor passphrases, and network settings only if it declares the network', async () => {
  const host = { CAIRN_PASSPHRASE: 'stone', NPM_TOKEN: 'x', HTTPS_PROXY: 'http://proxy.example:1', TZ: 'Asia/Tokyo' };
  const folder = await repository({ 'cairn.yaml': yaml('env; mkdir out') });
  const closed = await build(folder, host);
  assert.ok(closed.lines.includes('TZ=UTC'));
  assert.ok(!closed.lines.some((line) => /stone|NPM_TOKEN|proxy/.test(line)));
  const open = await build(await repository({ 'cairn.yaml': yaml('env; mkdir out', true) }), host);
  assert.ok(open.lines.includes('HTTPS_PROXY=http://proxy.example:1'));
  assert.ok(!open.lines.some((line) => /stone|NPM_TOKEN/.test(line)));
  assert.deepEqual(open.built.environment, ['HTTPS_PROXY']);
});

test('a stage that fails shows its last lines, and leaves neither folder nor process behind', async () => {
  const folder = await repository({ 'cairn.yaml': yaml('sleep 300 & echo $!; echo no luck; exit 3') });
  const failure = await build(folder).then(
    () => undefined,
    (error: { code: string; context: { lines: string[] } }) => error,
  );
  assert.equal(failure?.code, 'stage-failed');
  assert.equal(failure.context.lines.at(-1), 'no luck');
  await assert.rejects(stat('/tmp/cairn-build-built'), { code: 'ENOENT' });
  // A zombie is dead: where nobody reaps the orphans it may stand in the table for a while.
  const left = await readFile(`/proc/${failure.context.lines[0]}/stat`, 'utf8').catch(() => 'gone) Z');
  assert.match(left, /\) [ZX]/);
});

test("a clone's own git configuration does not change what is built", async () => {
  const folder = await repository({
    'cairn.yaml': yaml('mkdir out && cp server.js out/'),
    'server.js': 'a\nb\n',
    '.gitattributes': 'server.js filter=evil text\n',
  });
  const plain = await build(folder);
  git(folder, 'config', 'filter.evil.smudge', 'echo evil');
  git(folder, 'config', 'core.autocrlf', 'true');
  assert.equal((await build(folder)).digest, plain.digest);
});

test('a changed tree, a folder without a repository and one without a commit are told apart', async () => {
  const folder = await repository({ 'cairn.yaml': yaml('mkdir out') });
  await writeFile(join(folder, 'new'), '');
  await assert.rejects(resolveCommit(plainHost, folder), { code: 'dirty-tree', message: /new/ });
  const empty = join(scratch, 'empty');
  await mkdir(empty);
  await assert.rejects(resolveCommit(plainHost, empty), { code: 'not-a-repository' });
  git(empty, 'init', '-q');
  await assert.rejects(resolveCommit(plainHost, empty), { code: 'not-a-repository' });
});

test('a daemon that a stage leaves in a session of its own does not live to see the signing', async () => {
  const folder = await repository({ 'cairn.yaml': yaml('mkdir out; setsid sleep 311 & sleep 0.2; pgrep -fx "sleep 311" || true') });
  const { lines } = await build(folder);
  for (const pid of lines) assert.match(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone) Z'), /\) [ZX]/);
});

test('a layer takes nothing from outside the checkout, by path or by link', async () => {
  const through = await repository({ 'cairn.yaml': yaml('ln -s /etc link').replace('[out]', '[link/hostname]') });
  await assert.rejects(build(through), { code: 'invalid-configuration' });
  const link = await repository({ 'cairn.yaml': yaml('mkdir out; ln -s /etc/hostname out/name') });
  await assert.rejects(build(link), { code: 'stage-failed', message: /leads out/ });
});
