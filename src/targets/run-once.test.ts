import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '#core';
import { runOnce, type RunOptions } from '#targets';
import { prepared } from './fixture.ts';

async function task(t: TestContext, script: string): Promise<RunOptions> {
  return { ...(await prepared(t, script)), timeoutMs: 10_000 };
}

test('a command runs to its end, and gives its code, its output and its last lines', async (t) => {
  const options = await task(t, `for (let i = 0; i < 30; i++) console.error('step ' + i); console.log(process.env.GREETING + ' from ' + process.env.HOME); console.log('17'); process.exitCode = 3;`);
  let pid = 0;
  const { code, signal, how, timedOut, lines, stdout, milliseconds } = await runOnce({ ...options, spawned: async (started) => void (pid = started) });
  assert.deepEqual([code, signal, how, timedOut], [3, null, 'ended with 3', false]);
  assert.equal(stdout, `hello from ${options.home}\n17\n`);
  assert.equal(lines.length, 20);
  assert.ok(pid > 1 && milliseconds > 0);
  const logged = (await readFile(options.logFile, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as { pid: number });
  assert.deepEqual([logged.length, new Set(logged.map((line) => line.pid))], [32, new Set([pid])]);
});

test('of much output the end is kept', async (t) => {
  const { stdout } = await runOnce(await task(t, `process.stdout.write('x'.repeat(300_000) + '\\n42\\n')`));
  assert.equal(stdout.length, 65_536);
  assert.match(stdout, /x\n42\n$/);
});

test('what takes too long is stopped with what it started, even where both ignore SIGTERM', async (t) => {
  const stubborn = `trap '' TERM; sleep 300 & echo $!; while :; do sleep 1; done`;
  const options = { ...(await task(t, '')), variables: { PATH: '/usr/bin:/bin' }, command: ['/bin/sh', '-c', stubborn] };
  const { code, signal, how, timedOut, stdout } = await runOnce({ ...options, timeoutMs: 1_000 });
  assert.deepEqual([code, signal, timedOut, how], [null, 'SIGKILL', true, 'did not end within 1000 ms and was stopped']);
  for (let i = 0; i < 100 && (await runs(Number(stdout))); i++) await sleep(10);
  assert.equal(await runs(Number(stdout)), false);
});

test('one that is told to stop may still end in order', async (t) => {
  const options = await task(t, `process.on('SIGTERM', () => { console.log('rolled back'); process.exit(9); }); console.log('begun'); setInterval(() => {}, 1000);`);
  const stop = new AbortController();
  const running = runOnce({ ...options, signal: stop.signal });
  while (!(await readFile(options.logFile, 'utf8').catch(() => '')).includes('begun')) await sleep(10);
  stop.abort();
  const { code, timedOut, stdout } = await running;
  assert.deepEqual([code, timedOut, stdout], [9, false, 'begun\nrolled back\n']);
});

test('a command that does not exist ends with 127; a wrong runtime is refused', async (t) => {
  const options = await task(t, '');
  assert.equal((await runOnce({ ...options, command: ['no-such-program'] })).code, 127);
  await assert.rejects(runOnce({ ...options, runtime: { path: 'app/main.mjs', digest: digestOf('another') } }), { code: 'digest-mismatch' });
});

test('what a command leaves running is ended with it', async (t) => {
  const script = `import { spawn } from 'node:child_process';
console.log(spawn('sleep', ['300'], { stdio: 'inherit' }).pid);
process.exit(0);`;
  const { code, stdout, milliseconds } = await runOnce({ ...(await task(t, script)), variables: { PATH: '/usr/bin:/bin' } });
  assert.equal(code, 0);
  assert.ok(milliseconds < 900, 'nor is its output waited for');
  for (let i = 0; i < 100 && (await runs(Number(stdout))); i++) await sleep(10);
  assert.equal(await runs(Number(stdout)), false);
});

test('its confinement is closed once, when it is gone and when it could not be started', async (t) => {
  const options = await task(t, '');
  let closed = 0;
  const confined = { ...options.confined, close: async () => void closed++ };
  await runOnce({ ...options, confined });
  assert.equal(closed, 1);
  await runOnce({ ...options, confined, command: ['no-such-program'] });
  assert.equal(closed, 2);
  await assert.rejects(runOnce({ ...options, confined, runtime: { path: 'absent', digest: digestOf('') } }), { code: 'digest-mismatch' });
  assert.equal(closed, 3);
});

test('one that can not be recorded does not run on', async (t) => {
  const options = await task(t, 'setInterval(() => {}, 1000)');
  let pid = 0;
  const spawned = async (started: number): Promise<void> => {
    pid = started;
    throw new Error('no record');
  };
  await assert.rejects(runOnce({ ...options, spawned }), { message: 'no record' });
  assert.equal(await runs(pid), false);
});

async function runs(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status !== '' && !/\) Z /.test(status);
}
