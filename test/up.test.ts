import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Machine } from './support/machine.ts';

interface Found {
  readonly pid: number;
  readonly command: string;
}

/** Living processes with this home in their environment or command: this test's, and nobody else's. */
async function processesOf(home: string): Promise<Found[]> {
  const found: Found[] = [];
  for (const pid of (await readdir('/proc')).filter((one) => /^\d+$/.test(one))) {
    const [environ, stat, command] = await Promise.all(['environ', 'stat', 'cmdline'].map((name) => readFile(join('/proc', pid, name), 'utf8').catch(() => '')));
    if (environ?.includes(home) === true && !/\) [ZX]/.test(stat ?? ') X')) found.push({ pid: Number(pid), command: (command ?? '').replaceAll('\0', ' ') });
  }
  return found;
}

async function eventually(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (await check().catch(() => false)) return;
    await sleep(100);
  }
  assert.fail(`never came true: ${what}`);
}

test('up survives what happens to it', async (t) => {
  const machine = await Machine.make(t);
  await machine.init();
  let up = await machine.startUp();
  const release = await machine.release();
  assert.equal((await machine.cairn('promote', release, 'staging')).code, 0);
  const live = async () => {
    const response = await fetch(machine.urlOf('staging'));
    await response.arrayBuffer();
    return response.headers.get('cairn-release');
  };

  await t.test('a second one on the same home is refused and told why, before it has touched or started anything', async () => {
    const state = async () => (await processesOf(machine.home)).filter(({ command }) => !command.includes('cairn.js')).map(({ pid }) => pid).toSorted();
    const [before, journal] = [await state(), await readFile(join(machine.home, 'runner/journal.jsonl'))];
    const second = await machine.cairn('up');
    assert.equal(second.code, 2);
    assert.match(second.stderr, /already-running/);
    assert.match(second.stderr, /another runner holds .*lock/);
    assert.deepEqual(await state(), before);
    assert.deepEqual(await readFile(join(machine.home, 'runner/journal.jsonl')), journal);
    assert.equal(await live(), release);
  });

  await t.test('a unit for systemd is printed, and nothing is run', async () => {
    const printed = await machine.cairn('up', '--systemd');
    assert.equal(printed.code, 0);
    assert.match(printed.stdout, /^\[Service\]$/m);
    assert.ok(printed.stdout.includes(`Environment="CAIRN_HOME=${machine.home}"\n`));
  });

  await t.test('a control server that is killed comes back by itself, and nobody outside notices', async () => {
    const server = (await processesOf(machine.home)).find(({ command }) => command.includes('server.ts'));
    assert.ok(server);
    process.kill(server.pid, 'SIGKILL');
    assert.equal(await live(), release);
    await eventually('status answers', async () => (await machine.cairn('status')).code === 0);
  });

  await t.test('a runner that is killed leaves no second copy behind when it is started again', async () => {
    up.child.kill('SIGKILL');
    await up.ended;
    await eventually('the control server ended too', async () => !(await processesOf(machine.home)).some(({ command }) => command.includes('server.ts')));
    up = await machine.startUp();
    assert.equal(await live(), release);
    const applications = (await processesOf(machine.home)).filter(({ command }) => command.includes('server.js'));
    assert.equal(applications.length, 1, JSON.stringify(applications));
  });

  await t.test('told to stop, twice as Ctrl-C does, it drains and leaves nothing running', async () => {
    up.child.kill('SIGINT');
    up.child.kill('SIGTERM');
    await up.ended;
    assert.deepEqual(await processesOf(machine.home), []);
  });
});
