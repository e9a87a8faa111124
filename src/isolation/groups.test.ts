import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Groups } from './groups.ts';

// What is written where, with ordinary files in the kernel's place: one machine has one version of groups, and both must be right.

test('version 2: one group with its limits, swap among them', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'cairn-groups-'));
  t.after(() => rm(root, { recursive: true }));
  await writeFile(join(root, 'cgroup.controllers'), 'cpuset cpu io memory pids\n');
  const groups = await Groups.open(root, 'home');
  assert.equal(await readFile(join(root, 'cgroup.subtree_control'), 'utf8'), '+memory +cpu');
  assert.equal(await readFile(join(root, 'cairn/cgroup.subtree_control'), 'utf8'), '+memory +cpu');
  const group = await groups.make('production.shop', { memoryMb: 64, cpus: 1.5 });
  const [folder = ''] = (await readdir(join(root, 'cairn'))).filter((name) => name.endsWith('.production.shop'));
  assert.match(folder, new RegExp(`^home\\.${process.pid}\\.[0-9a-f]{8}\\.`));
  assert.deepEqual(group.joins, [join(root, 'cairn', folder, 'cgroup.procs')]);
  assert.equal(await readFile(join(root, 'cairn', folder, 'memory.max'), 'utf8'), String(64 * 2 ** 20));
  assert.equal(await readFile(join(root, 'cairn', folder, 'cpu.max'), 'utf8'), '150000 100000');
  await writeFile(join(root, 'cairn', folder, 'memory.events'), 'low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\noom_group_kill 0\n');
  assert.equal(await group.memoryKills(), 2);
});

test('version 2 without the controllers is refused', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'cairn-groups-'));
  t.after(() => rm(root, { recursive: true }));
  await writeFile(join(root, 'cgroup.controllers'), 'hugetlb memory\n');
  await assert.rejects(Groups.open(root, 'home'), { message: /no cpu controller/ });
});

test('version 1: a group in each tree', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'cairn-groups-'));
  t.after(() => rm(root, { recursive: true }));
  for (const tree of ['memory', 'cpu']) {
    await mkdir(join(root, tree));
    await writeFile(join(root, tree, 'cgroup.procs'), '');
  }
  const group = await (await Groups.open(root, 'home')).make('build.shop', { memoryMb: 100, cpus: 0.001 });
  const [memory = '', cpu = ''] = group.joins.map((path) => join(path, '..'));
  assert.equal(await readFile(join(memory, 'memory.limit_in_bytes'), 'utf8'), String(100 * 2 ** 20));
  assert.equal(await readFile(join(cpu, 'cpu.cfs_period_us'), 'utf8'), '100000');
  assert.equal(await readFile(join(cpu, 'cpu.cfs_quota_us'), 'utf8'), '1000');
  await writeFile(join(memory, 'memory.oom_control'), 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n');
  assert.equal(await group.memoryKills(), 3);
});
