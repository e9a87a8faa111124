import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { openIsolation, reachable } from '#isolation';
import { none, opened, run, temporary } from './fixture.ts';

// Where there is less, it is said.

const root = process.getuid?.() === 0;

test('root has users wherever the machine gives the means', { skip: root && existsSync('/usr/bin/setpriv') ? false : 'not root, or no setpriv' }, async (t) => {
  const { users, reason } = (await opened(t)).isolation;
  assert.equal(users, true, reason ?? '');
});

test('where other users may not enter, commands run as ourselves, and the reason says how to mend it', { skip: root ? false : 'not root' }, async (t) => {
  const folder = await temporary(t);
  await mkdir(join(folder, 'closed/home'), { recursive: true });
  await chmod(join(folder, 'closed'), 0o700);
  assert.equal(await reachable(join(folder, 'closed/home/later')), false);
  assert.equal(await reachable(join(folder, 'later')), true);
  const isolation = await openIsolation({ folder: join(folder, 'isolation'), mustReach: join(folder, 'closed/home') });
  assert.equal(isolation.users, false);
  assert.match(isolation.reason ?? '', /closed is closed to other users; set CAIRN_HOME/);
  const confined = await isolation.confine('production.shop', none);
  t.after(() => confined.close());
  assert.deepEqual([confined.uid, (await run(confined, ['id', '-u'])).stdout], [null, '0\n']);
});

test('groups that do not hold are not claimed', { skip: root ? false : 'not root' }, async (t) => {
  const folder = await temporary(t);
  for (const controller of ['memory', 'cpu']) {
    await mkdir(join(folder, 'groups', controller), { recursive: true });
    await writeFile(join(folder, 'groups', controller, 'cgroup.procs'), '');
  }
  for (const [groups, reason] of [[join(folder, 'groups'), /did not join its group/], [join(folder, 'nowhere'), /there is no /]] as const) {
    const isolation = await openIsolation({ folder: join(folder, 'isolation'), groups });
    assert.equal(isolation.limits, false);
    assert.match(isolation.reason ?? '', reason);
    assert.equal((await isolation.confine('production.shop', { memoryMb: 64, cpus: 1 })).limited, false);
  }
});

test('who is not root gets neither, and the reason', async (t) => {
  const folder = await temporary(t);
  await chmod(folder, 0o777);
  const script = `import { openIsolation } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))};
const { users, limits, reason, confine } = await openIsolation({ folder: process.argv[1] });
const { limited, uid, command } = await confine('production.shop', { memoryMb: 64, cpus: 1 });
console.log(JSON.stringify({ users, limits, reason, limited, uid, command: command('x', ['y'], { A: 'b' }) }));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, join(folder, 'isolation')], { ...(root && { uid: 65_534, gid: 65_534 }), stdio: ['ignore', 'pipe', 'pipe'], env: {} });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  if (root && /EACCES|ERR_MODULE_NOT_FOUND/.test(stderr)) return t.skip('another user may not read this checkout');
  assert.deepEqual(JSON.parse(stdout), {
    users: false, limits: false, limited: false, uid: null,
    reason: 'commands run as ourselves: only root can give them users of their own; memory and processors are not limited: only root can limit them',
    command: { file: 'x', args: ['y'], env: { A: 'b' } },
  });
});
