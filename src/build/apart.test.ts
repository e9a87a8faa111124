import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { closedFolder } from '#isolation';
import { buildOf, isRoot, plainHost, repository, scratch, yamlFor } from './fixture.ts';
import { resolveCommit } from './commit.ts';
import { removeTree } from './remove-tree.ts';

// Stages are kept apart: from keys and homes, from each other's leftovers, from whoever releases.

const application = 'apart';
const workspace = `/tmp/cairn-build-${application}`;
/** Another user can't run what stands in a checkout that is closed to others; and what stands in /tmp is gone where /tmp is another disk. */
const closed = isRoot && (await closedFolder(import.meta.dirname)) !== null && 'this checkout is closed to other users';
const hidden = import.meta.dirname.startsWith('/tmp/') && 'this checkout is in /tmp';
const rootOnly = { skip: !isRoot && 'only root gives stages a user of their own' };
const yaml = (run: string, network = false) => yamlFor(application, run, network);
const build = (folder: string, more: object = {}) => buildOf(folder, { application, ...more });

test("as root a stage is a user of its own: it reads neither our environment nor a home nor another stage's folder", rootOnly, async () => {
  const home = await mkdtemp('/tmp/cairn-t-home-');
  try {
    await mkdir(join(home, 'people'));
    await writeFile(join(home, 'token'), 'deep secret', { mode: 0o600 });
    await chmod(home, 0o711);
    const run = `
id -u
for file in /proc/$PPID/environ /proc/${process.pid}/environ ${home}/token ${home}/people/x /root/.cairn/token ~root/.npmrc ${workspace}/lent-0; do
  cat $file 2>/dev/null && echo "read $file"
done
ls ${home} ${workspace} 2>/dev/null && echo listed
touch ${workspace}/x ${workspace}/bin/node 2>/dev/null && echo wrote
kill -0 ${process.pid} 2>/dev/null && echo reached
grep NoNewPrivs /proc/self/status
mkdir out`;
    const { built, lines } = await build(await repository({ 'cairn.yaml': yaml(run) }), { host: { CAIRN_PASSPHRASE: 'stone', CAIRN_HOME: home } });
    assert.ok(Number(lines[0]) > 1000);
    assert.deepEqual(lines.slice(1), ['NoNewPrivs:\t1']);
    assert.deepEqual(
      { ...built.isolation, limits: null },
      { users: true, limits: null, reason: built.isolation?.limits === true ? null : built.isolation?.reason },
    );
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});

test('where stages run as ourselves, the provenance is told so and why', { skip: isRoot && 'only root gives them others' }, async () => {
  const { built } = await build(await repository({ 'cairn.yaml': yaml('mkdir out') }));
  assert.equal(built.isolation?.users, false);
  assert.match(built.isolation.reason ?? '', /root/);
});

test('npm settings that only we may read are lent as a copy, for a network stage alone and while it runs', rootOnly, async () => {
  const home = await mkdtemp(join(scratch, 'home-'));
  await writeFile(join(home, '.npmrc'), '//registry.example/:_authToken=t0ken\n', { mode: 0o600 });
  const look = 'cat "$NPM_CONFIG_USERCONFIG" 2>/dev/null; echo "$NPM_CONFIG_USERCONFIG"; mkdir -p out';
  const text = `application: ${application}
toolchain: { node: ${process.versions.node} }
stages:
  - { name: with, network: true, run: ${JSON.stringify(look)} }
  - { name: without, run: 'cat ${workspace}/lent-0 2>/dev/null || echo gone; mkdir -p out', layer: [out] }
components: { web: { kind: web, command: [node, x], health: { path: / } } }
`;
  const { built, lines } = await build(await repository({ 'cairn.yaml': text }), { host: { HOME: home } });
  assert.deepEqual(lines, ['//registry.example/:_authToken=t0ken', `${workspace}/lent-0`, 'gone']);
  assert.deepEqual(built.environment, ['NPM_CONFIG_USERCONFIG']);
});

test('a stage that passes its memory limit is named with the limit', rootOnly, async (t) => {
  const run = 'head -c 200000000 /dev/zero | tail -c 199999999 > big; mkdir out';
  const folder = await repository({ 'cairn.yaml': `${yaml(run)}limits: { memoryMb: 64 }\n` });
  const outcome = await build(folder).then(
    ({ built }) => built.isolation?.limits,
    (error: { code: string; message: string }) => error,
  );
  if (outcome === false) return t.skip('memory cannot be limited here');
  assert.match((outcome as { message: string }).message, /64 MiB of memory/);
});

test('a hard link to what only we may read does not come into a layer', rootOnly, async () => {
  const secret = join('/tmp', `cairn-t-secret-${process.pid}`);
  await writeFile(secret, 'secret', { mode: 0o600 });
  // As root may be told to leave it to the user (fs.protected_hardlinks), the link is made by us while the stage runs.
  const ready = build(await repository({ 'cairn.yaml': yaml('mkdir out; echo made; sleep 1') }), {
    onEvent: (event: { kind: string }) => event.kind === 'line' && execFileSync('ln', [secret, `${workspace}/source/out/stolen`]),
  });
  await assert.rejects(ready, { code: 'stage-failed', message: /out\/stolen belongs to somebody else/ });
  await rm(secret);
});

test('a process that leaves its group, session and environment behind does not outlive its stage', async () => {
  const run = isRoot ? 'setsid env -i sleep 307 & sleep 0.2; mkdir out' : 'setsid sleep 307 & sleep 0.2; mkdir out';
  await build(await repository({ 'cairn.yaml': yaml(run) }));
  const left = execFileSync('sh', ['-c', 'pgrep -fx "sleep 307" | while read pid; do grep -q "^State:.[ZX]" /proc/$pid/status || echo $pid; done'], {
    encoding: 'utf8',
  });
  assert.equal(left, '');
});

test('builds of one application wait for each other, and a killed build leaves nothing in the way', async () => {
  const folder = await repository({ 'cairn.yaml': yaml('echo started; sleep 0.3; echo ended; mkdir out') });
  const order: string[] = [];
  await Promise.all(
    [1, 2, 3].map((at) => build(folder, { onEvent: (event: { kind: string; line?: string }) => event.kind === 'line' && order.push(`${at} ${event.line}`) })),
  );
  for (const at of [0, 2, 4]) assert.equal(order[at]?.[0], order[at + 1]?.[0], order.join());

  // A build of another process, killed in the middle of its stage: the stage goes on, in nobody's hands.
  const victim = spawn(
    process.execPath,
    [
      join(import.meta.dirname, 'fixture-build.ts'),
      await repository({ 'cairn.yaml': yaml('mkdir -p deep/er; chmod 555 deep; echo started; sleep 308') }),
      application,
    ],
    { env: { ...process.env, CAIRN_TEST_SCRATCH: scratch }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(victim.stdout, 'data');
  victim.kill('SIGKILL');
  await once(victim, 'exit');
  assert.ok((await readdir('/tmp')).includes(`cairn-build-${application}`));
  const { lines } = await build(await repository({ 'cairn.yaml': yaml('pgrep -fx "sleep 308" || echo alone; mkdir out') }));
  assert.deepEqual(lines, ['alone']);
  await assert.rejects(stat(workspace), { code: 'ENOENT' });
});

test('an interrupted build ends its stage and leaves no folder', async () => {
  const controller = new AbortController();
  const folder = await repository({ 'cairn.yaml': yaml('echo started; sleep 309; mkdir out') });
  const started = performance.now();
  const building = build(folder, { signal: controller.signal, onEvent: (event: { kind: string }) => event.kind === 'line' && controller.abort() });
  await assert.rejects(building, { code: 'stage-failed', message: /interrupted; nothing was published/ });
  assert.ok(performance.now() - started < 5000);
  await assert.rejects(stat(workspace), { code: 'ENOENT' });
  assert.throws(() => execFileSync('pgrep', ['-fx', 'sleep 309']));
});

test('a disk that a stage fills is told from a stage that fails', { skip: (!mountsWork() && 'no file system can be mounted here') || hidden }, async () => {
  // Outside /tmp, which is another one there.
  const home = await mkdtemp('/var/tmp/cairn-t-');
  try {
    const text = yaml('head -c 300000000 /dev/zero > big; mkdir out');
    const folder = await repository({ 'cairn.yaml': text });
    execFileSync('cp', ['-r', folder, join(home, 'repository')]);
    const told = execFileSync(
      'unshare',
      [
        '--mount',
        'sh',
        '-c',
        'mount -t tmpfs -o size=40m,mode=1777 tmpfs /tmp && "$0" "$@" 2>&1; ls /tmp',
        process.execPath,
        join(import.meta.dirname, 'fixture-build.ts'),
        join(home, 'repository'),
        application,
      ],
      { encoding: 'utf8' },
    );
    assert.match(told, /code: 'storage-full'/);
    assert.doesNotMatch(told, /^cairn-build-apart$/m);
  } finally {
    await rm(home, { recursive: true });
  }
});

function mountsWork(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test("somebody else's folder in the place of the locks is not used", { skip: rootOnly.skip || closed }, async () => {
  const folder = await repository({ 'cairn.yaml': yaml('mkdir out') });
  const commit = await resolveCommit(plainHost, folder);
  const script = `import { withWorkspace } from ${JSON.stringify(join(import.meta.dirname, 'workspace.ts'))};
    await withWorkspace({ application: 'elsewhere', waitMs: 0, signal: new AbortController().signal, waiting: () => {} }, async () => {}).then(() => console.log('built'), (error) => console.log(error.code, error.message));`;
  assert.ok(commit.commit);
  const place = '/tmp/cairn-64123';
  for (const [make, expected] of [
    [() => symlink('/etc', place), /build-busy .*belongs to somebody else/],
    [() => mkdir(place, { mode: 0o700 }), /build-busy .*belongs to somebody else/],
  ] as const) {
    await rm(place, { recursive: true, force: true });
    await make();
    const told = execFileSync(
      'setpriv',
      ['--reuid=64123', '--regid=64123', '--clear-groups', process.execPath, '--input-type=module-typescript', '-e', script],
      { encoding: 'utf8', cwd: '/', env: { PATH: plainHost.PATH } },
    );
    assert.match(told, expected);
    await rm(place, { recursive: true, force: true });
  }
});

test('a folder that its owner made read-only is removed, and a link in it is not followed', { skip: closed }, async () => {
  const folder = await mkdtemp(join(scratch, 'closed-'));
  const outside = await mkdtemp(join(scratch, 'outside-'));
  await writeFile(join(outside, 'kept'), '');
  await mkdir(join(folder, 'tree/deep'), { recursive: true });
  await writeFile(join(folder, 'tree/deep/file'), '');
  await symlink(outside, join(folder, 'tree/link'));
  await chmod(join(folder, 'tree/deep'), 0o555);
  await chmod(join(folder, 'tree'), 0o555);
  if (isRoot) {
    // Root may remove anything, so another user tries.
    execFileSync('chown', ['-R', '64123:64123', folder]);
    await chmod(scratch, 0o755);
    execFileSync(
      'setpriv',
      [
        '--reuid=64123',
        '--regid=64123',
        '--clear-groups',
        process.execPath,
        '--input-type=module-typescript',
        '-e',
        `import { removeTree } from ${JSON.stringify(join(import.meta.dirname, 'remove-tree.ts'))}; await removeTree(${JSON.stringify(join(folder, 'tree'))});`,
      ],
      { cwd: '/', env: { PATH: plainHost.PATH } },
    );
  } else await removeTree(join(folder, 'tree'));
  assert.deepEqual(await readdir(folder), []);
  assert.deepEqual(await readdir(outside), ['kept']);
});
