import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openIsolation } from '#isolation';
import { node, none, opened, path, run, start } from './fixture.ts';

const usable = await (async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-isolation-'));
  const { users, limits, reason } = await openIsolation({ folder });
  await rm(folder, { recursive: true });
  return { users, limits, reason };
})();
const needsUsers = usable.users ? {} : { skip: `no users here: ${usable.reason}` };
const needsLimits = usable.limits ? {} : { skip: `no limits here: ${usable.reason}` };

test('a command runs as a user of its own without our groups, with exactly its variables, and may not gain privileges', needsUsers, async (t) => {
  const { folder, isolation } = await opened(t);
  assert.deepEqual([isolation.users, (await stat(join(folder, 'isolation', 'users'))).mode & 0o777], [true, 0o700]);
  const confined = await isolation.confine('production.shop', none);
  t.after(() => confined.close());
  const strange = { ...path, SECRET: ` "a" 'b' $(id) \`id\`\n\\ ü`, IFS: '/', PS4: 'x', empty: '', A: '1', npm_config_x: 'y' };
  const child = start(confined, ['/bin/sh', '-c', 'umask; cat /proc/self/status; exec sleep 60'], strange, folder);
  const lines: string[] = [];
  for await (const chunk of child.stdout ?? []) if (lines.push(String(chunk)) > 0 && lines.join('').includes('NoNewPrivs')) break;
  const status = lines.join('');
  assert.match(status, /^0022$/m);
  assert.match(status, new RegExp(`^Uid:\\s+${confined.uid}\\s+${confined.uid}\\s`, 'm'));
  assert.match(status, new RegExp(`^Gid:\\s+${confined.gid}\\s+${confined.gid}\\s`, 'm'));
  assert.match(status, /^Groups:\s*$/m);
  assert.match(status, /^NoNewPrivs:\s+1$/m);
  assert.match(status, /^CapEff:\s+0+$/m);
  // The process that was spawned became the program: by its number and folder an orphan is found again.
  while (!(await readFile(`/proc/${child.pid}/cmdline`, 'utf8')).startsWith('sleep')) await sleep(5);
  assert.equal(await readlink(`/proc/${child.pid}/cwd`), folder);
  child.kill('SIGKILL');
  const { stdout } = await run(confined, node('console.log(JSON.stringify(process.env))'), strange, folder);
  assert.deepEqual(JSON.parse(stdout), strange);
});

test('it reads no secrets: of the home, of other users, of whoever started it', needsUsers, async (t) => {
  const { folder, isolation } = await opened(t);
  await writeFile(join(folder, 'secret'), 'of the home', { mode: 0o600 });
  const [one, two] = [await isolation.confine('production.one', none), await isolation.confine('production.two', none)];
  t.after(() => Promise.all([one.close(), two.close()]));
  assert.notEqual(one.uid, two.uid);
  await mkdir(join(folder, 'open'));
  await chmod(join(folder, 'open'), 0o777);
  const write = await run(one, ['sh', '-c', `umask 077; echo mine >${folder}/open/data && cat ${folder}/open/data`]);
  assert.deepEqual([write.code, write.stdout, (await stat(join(folder, 'open/data'))).uid], [0, 'mine\n', one.uid]);
  for (const forbidden of [join(folder, 'secret'), join(folder, 'open/data'), `/proc/${process.pid}/environ`, join(folder, 'isolation/users/61000')]) {
    const { code, stdout, stderr } = await run(two, ['cat', forbidden]);
    assert.deepEqual([code, stdout], [1, ''], forbidden);
    assert.match(stderr, /denied/);
  }
});

test('whoever sets its variables gets nothing run as root', needsUsers, async (t) => {
  const { folder, isolation } = await opened(t);
  const confined = await isolation.confine('production.shop', none);
  t.after(() => confined.close());
  await mkdir(join(folder, 'open'));
  await chmod(join(folder, 'open'), 0o777);
  // The dynamic linker writes as whoever it runs as, from the first program on that is given the variable.
  await run(confined, ['/bin/true'], { LD_DEBUG: 'files', LD_DEBUG_OUTPUT: join(folder, 'open/linker') });
  const written = await readdir(join(folder, 'open'));
  if (written.length === 0) return t.skip('this dynamic linker has no LD_DEBUG');
  for (const file of written) assert.equal((await stat(join(folder, 'open', file))).uid, confined.uid);
  assert.throws(() => confined.command('x', [], { 'A;id': '' }), { code: 'invalid-configuration' });
});

test('a program that is not there, or can not be run, is told by its code', needsUsers, async (t) => {
  const { folder, isolation } = await opened(t);
  const confined = await isolation.confine('production.shop', none);
  t.after(() => confined.close());
  await writeFile(join(folder, 'plain'), '');
  assert.equal((await run(confined, ['no-such-program'])).code, 127);
  assert.equal((await run(confined, [join(folder, 'plain')])).code, 126);
});

test('a command that can not join its group does not run', needsLimits, async (t) => {
  const { isolation } = await opened(t);
  const confined = await isolation.confine('production.shop', none);
  await confined.close();
  const { code, stdout } = await run(confined, ['echo', 'ran']);
  assert.deepEqual([code, stdout], [125, '']);
});

test('memory beyond the limit ends the process, and the kernel says so', needsLimits, async (t) => {
  const { isolation } = await opened(t);
  const confined = await isolation.confine('production.shop', { memoryMb: 128, cpus: null });
  t.after(() => confined.close());
  assert.equal(confined.limited, true);
  const greedy = node('const all = []; for (let i = 0; i < 64; i++) all.push(Buffer.alloc(8 << 20, 1)); console.log("kept")');
  const { signal, stdout } = await run(confined, greedy);
  assert.deepEqual([signal, stdout], ['SIGKILL', '']);
  assert.ok((await confined.memoryKills()) > 0);
  const free = await isolation.confine('production.shop', none);
  t.after(() => free.close());
  assert.equal(free.limited, false);
  assert.equal((await run(free, greedy)).stdout, 'kept\n');
  assert.equal(await free.memoryKills(), 0);
});

test('a process gets no more processor than its limit', needsLimits, async (t) => {
  const { isolation } = await opened(t);
  const confined = await isolation.confine('production.shop', { memoryMb: null, cpus: 0.25 });
  t.after(() => confined.close());
  const busy = 'const start = performance.now(), before = process.cpuUsage(); while (performance.now() - start < 1000); const { user, system } = process.cpuUsage(before); console.log((user + system) / 1e3 / (performance.now() - start))';
  const ratio = Number((await run(confined, node(busy))).stdout);
  t.diagnostic(`ratio ${ratio}`);
  assert.ok(ratio > 0 && ratio < 0.4, `it had ${ratio} of a processor`);
});

test('closing ends what left its process group, and leaves no group behind', needsLimits, async (t) => {
  const { isolation } = await opened(t);
  const confined = await isolation.confine('production.shop', none);
  const { stdout } = await run(confined, ['sh', '-c', 'setsid sh -c "sleep 300 >/dev/null 2>&1 & echo \\$!"']);
  const daemon = Number(stdout);
  const group = await groupOf(daemon);
  assert.match(group, /\/cairn\/.*production\.shop$/);
  await confined.close();
  assert.equal(await lives(daemon), false);
  await assert.rejects(stat(group), { code: 'ENOENT' });
  assert.equal(await confined.memoryKills(), 0);
});

test('what a killed process left is found by its home, and by nobody else', needsLimits, async (t) => {
  const { folder, isolation } = await opened(t);
  const mine = await isolation.confine('production.mine', none);
  t.after(() => mine.close());
  const living = start(mine, ['sleep', '300']);
  t.after(() => living.kill('SIGKILL'));
  const script = `import { spawn } from 'node:child_process';
import { openIsolation } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))};
const isolation = await openIsolation({ folder: process.argv[1] });
await isolation.confine('empty', { memoryMb: null, cpus: null });
const { file, args, env } = (await isolation.confine('left', { memoryMb: null, cpus: null })).command('/bin/sleep', ['300'], {});
console.log(spawn(file, args, { env, detached: true, stdio: 'ignore' }).pid);
setInterval(() => {}, 1000);`;
  const killed = spawn(process.execPath, ['--input-type=module', '-e', script, join(folder, 'isolation')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(killed.stdout, 'data')) as [Buffer];
  const left = Number(String(line));
  t.after(() => killed.kill('SIGKILL'));
  // It is spawned before it joins.
  let group = '';
  while (!group.endsWith('.left')) await sleep(5).then(async () => (group = await groupOf(left)));
  const empty = async (): Promise<string[]> => (await readdir(join(group, '..'))).filter((name) => name.endsWith('.empty') && name.includes(`.${killed.pid}.`));
  await (await openIsolation({ folder: join(folder, 'isolation') })).killLeftovers();
  assert.equal(await lives(left), true, 'its maker lives');
  assert.equal((await empty()).length, 1);
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  const elsewhere = await openIsolation({ folder: join(folder, 'another home') });
  assert.deepEqual(await elsewhere.killLeftovers(), []);
  assert.equal((await empty()).length, 0);
  const after = await openIsolation({ folder: join(folder, 'isolation') });
  assert.equal(await lives(left), true, 'opening alone kills nobody');
  assert.deepEqual(await after.killLeftovers(), [left]);
  assert.equal(await lives(left), false);
  await assert.rejects(stat(group), { code: 'ENOENT' });
  assert.equal(await lives(living.pid as number), true);
});

/** The folder of the group that a process is in. */
async function groupOf(pid: number): Promise<string> {
  const lines = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  const [, controllers = '', group = ''] = /^\d+:([^:]*):(.*\/cairn\/.*|\/cairn\/.*)$/m.exec(lines) ?? [];
  return join('/sys/fs/cgroup', controllers, group);
}

async function lives(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status !== '' && !/\) Z /.test(status);
}
