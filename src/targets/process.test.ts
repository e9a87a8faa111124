import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError, digestOf, type Clock } from '#core';
import { unconfined } from '#isolation';
import { startInstance, takePort, type Instance, type InstanceOptions } from '#targets';

const clock: Clock = { now: () => new Date(), elapsed: () => performance.now() };
const server = `import { createServer } from 'node:http';
const { PORT, HOST } = process.env;
createServer((request, response) => response.end(JSON.stringify({ env: process.env, cwd: process.cwd() }))).listen(PORT, HOST);`;

const health = { path: '/healthz', intervalMs: 20, threshold: 2, deadlineMs: 5_000 };

async function prepared(t: TestContext, script: string): Promise<InstanceOptions> {
  const directory = await mkdtemp(join(tmpdir(), 'cairn-process-'));
  t.after(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, 'app'));
  await writeFile(join(directory, 'app', 'main.mjs'), script);
  return {
    directory,
    command: [process.execPath, 'main.mjs'],
    variables: { GREETING: 'hello' },
    confined: unconfined,
    home: directory,
    port: await takePort(),
    runtime: null,
    place: { application: 'shop', environment: 'production', component: 'web' },
    logFile: join(directory, 'log.jsonl'),
    release: digestOf('release'),
    content: digestOf('content'),
    clock,
    health,
  };
}

async function ask({ origin }: Instance): Promise<{ env: Record<string, string>; cwd: string }> {
  return (await fetch(String(origin))).json() as Promise<{ env: Record<string, string>; cwd: string }>;
}

async function lines({ logFile }: InstanceOptions): Promise<{ stream: string; line: string; pid: number; time: string }[]> {
  return (await readFile(logFile, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line));
}

test('an instance runs with exactly its environment, in its folder, and stops when told', async (t) => {
  const options = await prepared(t, server);
  const instance = await startInstance(options);
  const { env, cwd } = await ask(instance);
  assert.deepEqual(env, { GREETING: 'hello', HOME: options.home, HOST: '127.0.0.1', PORT: String(instance.port) });
  assert.match(cwd, /app$/);
  assert.equal(await instance.probe(), true);
  await instance.stop(2_000);
  assert.deepEqual(await instance.exited, { code: null, signal: 'SIGTERM', how: 'ended with SIGTERM' });
  assert.equal(await instance.probe(), false);
});

test('its output becomes bounded JSON lines that only the owner reads', async (t) => {
  const options = await prepared(t, `console.log('one\\r\\ntwo'); console.error('wörse'); process.stdout.write('x'.repeat(150_000) + '\\nend');\n${server}`);
  const instance = await startInstance(options);
  await instance.stop(2_000);
  const log = await lines(options);
  const out = log.filter(({ stream }) => stream === 'stdout').map(({ line }) => line);
  assert.deepEqual(out.slice(0, 2), ['one', 'two']);
  assert.ok(out.every((line) => line.length <= 65_536));
  assert.equal(out.slice(2, -1).join(''), 'x'.repeat(150_000));
  assert.equal(out.at(-1), 'end');
  assert.deepEqual(log.filter(({ stream }) => stream === 'stderr').map(({ line }) => line), ['wörse']);
  assert.ok(log.every(({ pid, time }) => pid === instance.pid && !Number.isNaN(Date.parse(time))));
  assert.equal((await stat(options.logFile)).mode & 0o777, 0o600);
});

test('a flood of output is slowed down, not kept in memory or lost', async (t) => {
  const options = await prepared(t, `for (let i = 0; i < 50_000; i++) console.log('line ' + i);\n${server}`);
  const instance = await startInstance(options);
  // Killed at once it would take what it holds in its own memory along.
  while (!(await readFile(options.logFile, 'utf8')).includes('line 49999')) await sleep(20);
  await instance.stop(2_000);
  assert.deepEqual((await lines(options)).map(({ line }) => line), Array.from({ length: 50_000 }, (_, i) => `line ${i}`));
});

test('one that ends before it is healthy says so with its last lines', async (t) => {
  const options = await prepared(t, `for (let i = 0; i < 30; i++) console.error('cause ' + i); process.exitCode = 3;`);
  await assert.rejects(startInstance(options), (error: CairnError) => {
    assert.equal(error.code, 'unhealthy');
    assert.match(error.message, /ended with 3/);
    assert.deepEqual((error.context['lines'] as string[]).slice(-1), ['cause 29']);
    assert.equal((error.context['lines'] as string[]).length, 20);
    return true;
  });
});

test('one that answers with errors is stopped at its deadline', async (t) => {
  const options = await prepared(t, server.replace('response.end(', 'response.writeHead(500).end('));
  let pid = 0;
  const starting = startInstance({
    ...options,
    health: { ...health, deadlineMs: 300 },
    spawned: async (started) => void (pid = started),
  });
  await assert.rejects(starting, { code: 'unhealthy', message: /300 ms/ });
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('a command that does not exist is unhealthy, not a crash', async (t) => {
  await assert.rejects(startInstance({ ...(await prepared(t, '')), command: ['no-such-program'] }), { code: 'unhealthy' });
});

test('children go with their parent, also where both ignore SIGTERM', async (t) => {
  const stubborn = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);`;
  const script = `import { spawn } from 'node:child_process';
const child = spawn(process.execPath, ['-e', ${JSON.stringify(stubborn)}]);
console.log(child.pid); ${stubborn}\n${server}`;
  const options = await prepared(t, script);
  const instance = await startInstance(options);
  while ((await lines(options).catch(() => [])).length === 0) await sleep(10);
  const child = Number((await lines(options))[0]?.line);
  assert.equal(await runs(child), true);
  await instance.stop(100);
  assert.equal((await instance.exited).signal, 'SIGKILL');
  for (let i = 0; i < 100 && (await runs(child)); i++) await sleep(10);
  assert.equal(await runs(child), false);
});

/** A killed orphan stays as a zombie until its new parent reaps it, which is not ours to hasten. */
async function runs(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status !== '' && !/\) Z /.test(status);
}
