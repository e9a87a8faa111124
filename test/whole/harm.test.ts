import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDigest, type Digest } from '#core';
import { homePaths } from '#home';
import { top, type Machine } from '../support/machine.ts';
import { define, mischief } from '../support/mischief.ts';

// What happens to a machine that somebody, or the machine itself, does harm to: nothing is lost, and everything says what mends it.

type Failure = { error: { code: string; message: string; fix: string | null } };

async function ready(t: TestContext): Promise<{ machine: Machine; first: Digest }> {
  const machine = await mischief(t, { confirmSeconds: 0 });
  await machine.init();
  await machine.startUp();
  const first = await machine.release();
  assert.equal((await machine.cairn('promote', first, 'staging')).code, 0);
  return { machine, first };
}

async function flip(path: string, at: number): Promise<() => Promise<void>> {
  const { mode } = await stat(path);
  await chmod(path, 0o644);
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  const write = async (value: number) => void (await file.write(Buffer.from([value]), 0, 1, at));
  await write((byte[0] ?? 0) ^ 0x20);
  return async () => {
    await write(byte[0] ?? 0);
    await file.close();
    await chmod(path, mode);
  };
}

/** Everything that belongs to this home, killed in one go. */
async function killAll(machine: Machine): Promise<void> {
  const pids: number[] = [];
  for (const pid of (await readdir('/proc')).filter((one) => /^\d+$/.test(one))) {
    const [environ = '', command = ''] = await Promise.all(['environ', 'cmdline'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')));
    const ours = environ.includes(`CAIRN_HOME=${machine.home}\0`) && (command.includes('main/server.ts') || /\0up\0?$/.test(command));
    if (ours || environ.includes(`CAIRN_APPLICATION=hello`) && environ.includes(machine.home)) pids.push(Number(pid));
  }
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It went by itself.
    }
  }
}

test('a flipped byte in a stored blob halts the promotion, is an incident, and nothing moved', async (t) => {
  const { machine, first } = await ready(t);
  const blobs = join(homePaths(machine.home).registry, 'content');
  const found = (await readdir(blobs, { recursive: true, withFileTypes: true })).filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  const sizes = await Promise.all(found.map(async (path) => ({ path, size: (await stat(path)).size })));
  // Of the layers: the largest is the runtime.
  const runtime = sizes.toSorted((a, b) => b.size - a.size)[0];
  assert.ok(runtime);
  const mend = await flip(runtime.path, Math.floor(runtime.size / 2));
  const ran = await machine.cairn('promote', first, 'production', '--json');
  const { error } = ran.json as Failure;
  assert.deepEqual([ran.code, error.code], [4, 'incident']);
  assert.match(error.message, /digest-mismatch/);
  assert.ok(error.fix);
  assert.equal((await fetch(machine.urlOf('production'))).status, 503);
  const incidents = await (await machine.api()).incidents();
  assert.deepEqual(incidents.map(({ environment, code }) => [environment, code]), [['production', 'digest-mismatch']]);
  await mend();
  // Mended is not enough: somebody says how it ended.
  const held = await machine.cairn('promote', first, 'production', '--json');
  assert.match((held.json as Failure).error.message, /incident \d+ \(digest-mismatch in production\) is open/);
  assert.equal((await machine.cairn('incident', 'resolve', String(incidents[0]?.logIndex), '--resolution', 'the blob was restored', '--json')).code, 0);
  assert.equal((await machine.cairn('promote', first, 'production')).code, 0);
});

test('a damaged database page stops the server with what mends it, and the bytes are left as they are', async (t) => {
  const { machine, first } = await ready(t);
  await machine.stop();
  const path = homePaths(machine.home).ledger;
  for (const suffix of ['-wal', '-shm']) assert.equal(await stat(`${path}${suffix}`).then(() => true, () => false), false, 'a stopped server leaves one file');
  const whole = await readFile(path);
  const damaged = Buffer.from(whole);
  for (let page = 1; page * 4096 < damaged.byteLength; page++) damaged.fill(0xa5, page * 4096, page * 4096 + 64);
  await writeFile(path, damaged);
  const up = await machine.cairn('up');
  assert.notEqual(up.code, 0);
  assert.match(up.stderr, /storage: .*(damaged|malformed)/);
  assert.match(up.stderr, /fix: /);
  assert.ok((await readFile(path)).equals(damaged));
  await writeFile(path, whole);
  await machine.startUp();
  assert.equal(((await (await fetch(machine.urlOf('staging'))).json()) as { release: string }).release, first);
});

test('both processes and all instances killed at once in mid-switch: up comes to one legal state', async (t) => {
  const { machine, first } = await ready(t);
  assert.equal((await machine.cairn('promote', first, 'production')).code, 0);
  let live = first;
  for (const [round, delay] of [150, 250, 350, 450, 600].entries()) {
    await define(machine, { confirmSeconds: 0 }, { GREETING: `round ${round}` });
    const next = await machine.release();
    assert.equal((await machine.cairn('promote', next, 'staging')).code, 0);
    const promoting = machine.cairn('promote', next, 'production', '--json');
    await sleep(delay);
    await killAll(machine);
    await machine.stop();
    await machine.startUp();
    await promoting;
    // Asked again as a person would; where it went through, this finds it done.
    const again = await machine.cairn('promote', next, 'production', '--json');
    assert.equal(again.code, 0, again.stdout);
    const served = (await (await fetch(machine.urlOf('production'))).json()) as { release: Digest };
    assert.equal(served.release, next);
    const timeline = await (await machine.api()).timeline('hello', 'production');
    assert.equal(timeline.revisions.filter(({ state }) => ['live', 'confirmed', 'preparing'].includes(state)).length, 1);
    assert.equal((await (await machine.api()).rebuildLedger()).same, true);
    live = next;
  }
  assert.ok(isDigest(live));
});

test('a release that is killed half-way publishes nothing, and the next one gives the digest it would have given', async (t) => {
  const { machine } = await ready(t);
  await define(machine, { confirmSeconds: 0 }, { GREETING: 'killed' });
  const before = (await (await machine.api()).info()).checkpoint.size;
  for (const delay of [100, 300, 500, 700]) {
    const child = spawn(process.execPath, [join(top, 'bin/cairn.js'), 'release', '--json'], { cwd: machine.repository, env: machine.environment, stdio: 'ignore', detached: true });
    await sleep(delay);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await ended;
  }
  const released = await machine.release();
  const after = (await (await machine.api()).info()).checkpoint.size;
  assert.ok(after > before);
  const again = await machine.cairn('release', '--json');
  assert.deepEqual([(again.json as { release: string; again: boolean }).release, (again.json as { again: boolean }).again], [released, true]);
  assert.equal((await machine.cairn('promote', released, 'staging')).code, 0);
});

test('a port that is taken, an unknown environment, a wrong passphrase: each with code and fix', async (t) => {
  const machine = await mischief(t, { confirmSeconds: 0 });
  await machine.init();
  const other = createServer().listen(machine.base + 1, '127.0.0.1');
  const up = await machine.cairn('up');
  assert.equal(up.code, 2);
  assert.match(up.stderr, /port-taken[^]*fix: /);
  await new Promise((resolve) => other.close(resolve));
  await machine.startUp();
  const release = await machine.release();
  const failed = async (code: string, ...parameters: string[]) => {
    const ran = await machine.cairn(...parameters, '--json');
    const { error } = ran.json as Failure;
    assert.equal(error.code, code, ran.stdout);
    assert.ok(error.fix);
    return ran.code;
  };
  assert.equal(await failed('unknown-environment', 'promote', release, 'producton'), 2);
  assert.equal(await failed('unknown-reference', 'promote', 'ffffffffffff', 'staging'), 2);
  assert.equal(await failed('unknown-reference', 'promote', 'latest', 'staging'), 2);
  machine.environment['CAIRN_PASSPHRASE'] = 'wrong';
  assert.equal(await failed('wrong-passphrase', 'promote', release, 'staging'), 2);
  assert.equal((await fetch(machine.urlOf('staging'))).status, 503);
});
