import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { chmod, chown, lutimes, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { commitAll, freePorts, git, makeRepository, passphrase, runCairn, start, top } from '../support/machine.ts';

// One commit gives one release digest, whoever builds it, wherever, whenever and however their machine is set up.

const nobody = 65_534;
/** Another user can only build where root tests, and where that user may read this checkout at all. */
const isRoot = process.getuid?.() === 0 && spawnSync('test', ['-r', join(top, 'bin/cairn.js')], { uid: nobody, gid: nobody }).status === 0;
/** Debian's libfaketime, preloaded: the command of that name forks, and then nobody ends what it started. */
const faketime = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')[0];

interface Released {
  readonly release: string;
  readonly commit: string;
  readonly isolation: { readonly users: boolean; readonly reason: string | null };
}

interface Builder {
  /** The builder's own folder: home of the user, of Cairn and of the clone. */
  readonly folder: string;
  readonly environment: Record<string, string>;
  readonly umask: string;
  readonly clock?: string;
  readonly uid?: number;
}

async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp('/tmp/cairn-t-');
  await chmod(made, 0o755);
  t.after(() => rm(made, { recursive: true, force: true }));
  return made;
}

/** The repository that is cloned. Each builder has keys, log and server of its own. */
async function origin(t: TestContext): Promise<string> {
  const repository = join(await folder(t), 'origin');
  await makeRepository(repository, { dependencies: true });
  await writeFile(join(repository, 'notes.txt'), 'lines\nthat a careless clone\nwould end otherwise\n');
  await commitAll(repository, 'notes');
  return repository;
}

async function releaseOf(repository: string, builder: Builder): Promise<Released> {
  const clone = join(builder.folder, 'deep', 'er', 'clone');
  await git(builder.folder, 'clone', '--quiet', '--no-hardlinks', repository, clone);
  await git(clone, 'remote', 'set-url', 'origin', `https://example.com/${builder.umask}.git`);
  if (builder.umask === '077') await touchAll(clone);
  // What cairn init writes is nobody's business here.
  await writeFile(join(clone, '.git/info/exclude'), 'cairn.trust.json\n');
  const base = await freePorts(3);
  const env = {
    ...(process.env as Record<string, string>), HOME: builder.folder, npm_config_cache: join(builder.folder, '.npm'),
    CAIRN_HOME: join(builder.folder, 'c'), CAIRN_PASSPHRASE: passphrase, CAIRN_USER: `person-${builder.umask}`, CAIRN_PORT: String(base),
    ...builder.environment,
  };
  if (builder.uid !== undefined) await chownAll(builder.folder, builder.uid);
  const wrapper = ['sh', '-c', `umask ${builder.umask}; exec "$@"`, 'sh', ...(builder.clock === undefined ? [] : ['env', `LD_PRELOAD=${faketime}`, `FAKETIME=${builder.clock}`, 'FAKETIME_DONT_FAKE_MONOTONIC=1'])];
  const as = { wrapper, ...(builder.uid !== undefined && { uid: builder.uid, gid: builder.uid }) };

  const init = await runCairn(clone, env, ['init', '--json'], as);
  assert.equal(init.code, 0, init.stdout + init.stderr);
  const up = await start([join(top, 'bin/cairn.js'), 'up'], 'ready in', { cwd: clone, env, ...as });
  try {
    const ran = await runCairn(clone, env, ['release', '--json'], as);
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    return ran.json as Released;
  } finally {
    up.child.kill('SIGTERM');
    await up.ended;
  }
}

async function touchAll(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) await lutimes(join(entry.parentPath, entry.name), 1_000_000_000, 1_000_000_000);
}

async function chownAll(directory: string, uid: number): Promise<void> {
  await chown(directory, uid, uid);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) await chown(join(entry.parentPath, entry.name), uid, uid);
}

/** Unlike this process in all that tools are known to let into their output. */
async function stranger(t: TestContext): Promise<Builder> {
  const made = await folder(t);
  const config = join(made, 'gitconfig');
  await writeFile(config, '[core]\n\tautocrlf = true\n\teol = crlf\n[safe]\n\tdirectory = *\n');
  await mkdir(join(made, 'tmp'));
  return {
    folder: made,
    umask: '077',
    environment: { TZ: 'Pacific/Auckland', LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8', GIT_CONFIG_GLOBAL: config, TMPDIR: join(made, 'tmp'), SOURCE_DATE_EPOCH: '1', NODE_ENV: 'production' },
    ...(isRoot && { uid: nobody }),
    ...(faketime !== undefined && { clock: '+400d' }),
  };
}

test('two clones give one release digest, whatever path, user, time zone, locale, umask, Git configuration and clock, npm and all', async (t) => {
  const repository = await origin(t);
  // Both at once: a build waits for the one that holds the workspace, whoever holds it.
  const [plain, other] = await Promise.all([
    releaseOf(repository, { folder: await folder(t), umask: '022', environment: { TZ: 'UTC', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' } }),
    releaseOf(repository, await stranger(t)),
  ]);
  assert.deepEqual(other.commit, plain.commit);
  assert.equal(other.release, plain.release);
  // How the stages were kept apart is said of the build, and is no part of what was built.
  assert.equal(plain.isolation.users, process.getuid?.() === 0);
  assert.equal(other.isolation.users, false);
  assert.match(other.isolation.reason ?? '', /root/);
  t.diagnostic(`${plain.release}${isRoot ? ', another user' : ''}${faketime === undefined ? '' : ', another clock'}`);
});
