import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, open, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CairnError, digestOfStream } from '#core';
import { startInstance, takePort, type Instance, type InstanceOptions } from '#targets';
import { prepared } from './fixture.ts';

const server = `import { createServer } from 'node:http';
const { PORT, HOST } = process.env;
createServer((request, response) => response.end(JSON.stringify({ env: process.env, cwd: process.cwd() }))).listen(PORT, HOST);`;

const health = { path: '/healthz', intervalMs: 20, threshold: 2, deadlineMs: 5_000 };

async function web(t: TestContext, script: string): Promise<InstanceOptions> {
  return { ...(await prepared(t, script)), port: await takePort(), health };
}

async function ask({ origin }: Instance): Promise<{ env: Record<string, string>; cwd: string }> {
  return (await fetch(String(origin))).json() as Promise<{ env: Record<string, string>; cwd: string }>;
}

async function lines({ logFile }: InstanceOptions): Promise<{ stream: string; line: string; pid: number; time: string }[]> {
  return (await readFile(logFile, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line));
}

test('an instance runs with exactly its environment, in its folder, and stops when told', async (t) => {
  const options = await web(t, server);
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
  const options = await web(t, `console.log('one\\r\\ntwo'); console.error('wörse'); process.stdout.write('x'.repeat(150_000) + '\\nend');\n${server}`);
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
  const options = await web(t, `for (let i = 0; i < 50_000; i++) console.log('line ' + i);\n${server}`);
  const instance = await startInstance(options);
  // Killed at once it would take what it holds in its own memory along.
  while (!(await readFile(options.logFile, 'utf8')).includes('line 49999')) await sleep(20);
  await instance.stop(2_000);
  assert.deepEqual((await lines(options)).map(({ line }) => line), Array.from({ length: 50_000 }, (_, i) => `line ${i}`));
});

test('one that ends before it is healthy says so with its last lines', async (t) => {
  const options = await web(t, `for (let i = 0; i < 30; i++) console.error('cause ' + i); process.exitCode = 3;`);
  await assert.rejects(startInstance(options), (error: CairnError) => {
    assert.equal(error.code, 'unhealthy');
    assert.match(error.message, /ended with 3/);
    assert.deepEqual((error.context['lines'] as string[]).slice(-1), ['cause 29']);
    assert.equal((error.context['lines'] as string[]).length, 20);
    return true;
  });
});

test('one that answers with errors is stopped at its deadline', async (t) => {
  const options = await web(t, server.replace('response.end(', 'response.writeHead(500).end('));
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
  await assert.rejects(startInstance({ ...(await web(t, '')), command: ['no-such-program'] }), { code: 'unhealthy' });
});

test('children go with their parent, also where both ignore SIGTERM', async (t) => {
  const stubborn = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);`;
  const script = `import { spawn } from 'node:child_process';
const child = spawn(process.execPath, ['-e', ${JSON.stringify(stubborn)}]);
console.log(child.pid); ${stubborn}\n${server}`;
  const options = await web(t, script);
  const instance = await startInstance(options);
  while ((await lines(options).catch(() => [])).length === 0) await sleep(10);
  const child = Number((await lines(options))[0]?.line);
  assert.equal(await runs(child), true);
  await instance.stop(100);
  assert.equal((await instance.exited).signal, 'SIGKILL');
  for (let i = 0; i < 100 && (await runs(child)); i++) await sleep(10);
  assert.equal(await runs(child), false);
});

test('a worker has no port, and is healthy when it goes on running', async (t) => {
  const worker = { ...(await prepared(t, 'console.log(JSON.stringify(process.env)); setInterval(() => {}, 1000);')), port: null, health: null };
  const instance = await startInstance(worker);
  assert.deepEqual([instance.port, instance.origin, await instance.probe()], [null, null, true]);
  // It counts as healthy while it lives: what it has to say may come later.
  for (let tries = 0; tries < 200 && (await lines(worker).catch(() => [])).length === 0; tries++) await sleep(50);
  await instance.stop(2_000);
  assert.equal(await instance.probe(), false);
  assert.deepEqual(JSON.parse((await lines(worker))[0]?.line ?? ''), { GREETING: 'hello', HOME: worker.home });
  const brief = { ...(await prepared(t, '')), command: ['/bin/sh', '-c', 'echo done'], port: null, health: null };
  await assert.rejects(startInstance(brief), { code: 'unhealthy', message: /ended with 0 before it was healthy/ });
});

test('one that only takes connections is healthy by that', async (t) => {
  const tcp = { tcp: true, intervalMs: 20, threshold: 1, deadlineMs: 5_000 } as const;
  const script = "import { createServer } from 'node:net';\ncreateServer().listen(process.env.PORT, process.env.HOST);";
  const instance = await startInstance({ ...(await web(t, script)), health: tcp });
  assert.equal(await instance.probe(), true);
  await instance.stop(2_000);
  assert.equal(await instance.probe(), false);
  const deaf = { ...(await web(t, 'setInterval(() => {}, 1000)')), health: { ...tcp, deadlineMs: 300 } };
  await assert.rejects(startInstance(deaf), { code: 'unhealthy', message: /300 ms/ });
});

test('its lines say whose they are', async (t) => {
  const options = await web(t, `console.log('up');\n${server}`);
  await (await startInstance(options)).stop(2_000);
  const [line] = await lines(options);
  const { release, content, place } = options;
  assert.deepEqual({ ...line, time: '', pid: 0 }, { time: '', stream: 'stdout', ...place, release, content, pid: 0, line: 'up' });
  assert.deepEqual(Object.keys(line ?? {}), ['time', 'stream', 'application', 'environment', 'component', 'release', 'content', 'pid', 'line']);
});

test('a runtime that is not what the release names is not started, also when it was right before', async (t) => {
  const options = await web(t, server);
  const path = join(options.directory, 'runtime', 'node');
  await mkdir(join(options.directory, 'runtime'));
  await copyFile('/bin/cat', path);
  const right = { ...options, command: [process.execPath, 'main.mjs'], runtime: { path: 'runtime/node', digest: (await digestOfStream(createReadStream(path))).digest } };
  await (await startInstance({ ...right, port: await takePort() })).stop(2_000);
  let started = false;
  const watched = { ...right, spawned: async () => void (started = true) };
  // One bit, at the same length.
  const file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 1_000);
  await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, 1_000);
  await file.close();
  await assert.rejects(startInstance({ ...watched, port: await takePort() }), { code: 'digest-mismatch' });
  await rm(path);
  await assert.rejects(startInstance({ ...watched, port: await takePort() }), { code: 'digest-mismatch' });
  assert.equal(started, false);
});

test('a log that can not be written never stops the application, and says later what was lost', async (t) => {
  const full = await web(t, `console.log('lost');\n${server}`);
  await symlink('/dev/full', full.logFile);
  await (await startInstance(full)).stop(2_000);
  const options = await web(t, `setInterval(() => console.log('line'), 5);\n${server}`);
  await writeFile(join(options.directory, 'logs'), 'in the way of a folder');
  const blocked = { ...options, logFile: join(options.directory, 'logs', 'web.jsonl') };
  const instance = await startInstance(blocked);
  await sleep(50);
  await rm(join(options.directory, 'logs'));
  while ((await lines(blocked).catch(() => [])).length < 3) await sleep(10);
  await instance.stop(2_000);
  const [first] = await lines(blocked);
  assert.equal(first?.stream, 'cairn');
  assert.match(first?.line ?? '', /^\d+ lines were lost/);
});

/** A killed orphan stays as a zombie until its new parent reaps it, which is not ours to hasten. */
async function runs(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status !== '' && !/\) Z /.test(status);
}
