import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf, type CairnError, type Clock, type Digest } from '#core';
import { loadSealer } from '#home';
import { runnerClient, startRunner, type LaunchComponent, type PrepareRequest, type Runner, type RunnerClient, type RunnerOptions, type SwitchRequest, type Way } from '#runner';

// A runner of a test's own, and a small application for it.

export const clock: Clock = { now: () => new Date(), elapsed: () => performance.now() };
export const shop = { application: 'shop', environment: 'production' };

/** Answers with its version; dies, hangs and goes bad when asked to. */
const web = `import { createServer } from 'node:http';
import { writeFileSync } from 'node:fs';
let bad = 200;
createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://here');
  if (pathname === '/die') process.exit(1);
  if (pathname === '/hang') for (;;);
  if (pathname === '/bad') bad = 503;
  if (pathname === '/environment') return response.end(JSON.stringify({ ...process.env, uid: process.getuid(), cwd: process.cwd() }));
  if (pathname === '/slow') return setTimeout(() => response.end('slow'), 400);
  if (pathname === '/write') {
    writeFileSync(process.env.CAIRN_DATA_FILES + '/note', process.env.VERSION);
    return response.end();
  }
  if (pathname === '/stream') {
    response.write('first\\n');
    return void setInterval(() => response.write('more\\n'), 20);
  }
  response.writeHead(pathname === '/' ? bad : 200);
  response.end(JSON.stringify({ version: process.env.VERSION, component: process.env.CAIRN_COMPONENT, pid: process.pid, path: request.url }));
}).listen(process.env.PORT, process.env.HOST, () => console.log('listening'));`;

/** Says in a file that all share when it begins and ends; without a lock it would not notice another one. */
const worker = `import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
const folder = process.env.CAIRN_DATA_FILES;
const say = (what) => appendFileSync(folder + '/said', what + ' ' + process.env.VERSION + ' ' + process.pid + '\\n');
try { writeFileSync(folder + '/lock', String(process.pid), { flag: 'wx' }); } catch { say('clash'); }
process.on('SIGTERM', () => setTimeout(() => { say('end'); rmSync(folder + '/lock', { force: true }); process.exit(0); }, Number(process.env.LINGER ?? 50)));
say('begin');
setInterval(() => {}, 1000);`;

export interface Place {
  readonly folder: string;
  readonly options: RunnerOptions;
  readonly client: RunnerClient;
  readonly reported: CairnError[];
  /** Done at the end of the test, the last one first. */
  readonly ends: (() => unknown)[];
}

export async function place(t: TestContext, environments = ['production']): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-runner-'));
  // For applications with users of their own.
  await chmod(folder, 0o755);
  await mkdir(join(folder, 'content', 'app'), { recursive: true });
  await writeFile(join(folder, 'content', 'app', 'main.mjs'), web);
  await writeFile(join(folder, 'content', 'app', 'worker.mjs'), worker);
  await mkdir(join(folder, 'keys'), { mode: 0o700 });
  // Homes number their users alike, and a build in another home ends all that runs as one of its own: not ours, by this.
  const users = join(folder, 'isolation', 'users');
  await mkdir(users, { recursive: true, mode: 0o700 });
  for (const [i, name] of ['production.shop', 'production.blog'].entries()) await writeFile(join(users, String(60_600 + 2 * Math.floor(Math.random() * 190) + i)), name);
  const client = runnerClient(join(folder, 'socket'));
  const ends: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true }), () => client.close()];
  t.after(async () => {
    for (const end of ends.toReversed()) await end();
  });
  const reported: CairnError[] = [];
  const options: RunnerOptions = {
    directory: join(folder, 'state'),
    socketPath: join(folder, 'socket'),
    data: join(folder, 'data'),
    users: join(folder, 'isolation'),
    seal: await loadSealer(join(folder, 'keys')),
    environments: environments.map((name) => ({ name, host: '127.0.0.1', port: 0 })),
    clock,
    drainMs: 1_000,
    report: (error) => void reported.push(error),
  };
  return { folder, client, options, reported, ends };
}

export interface Running extends Place {
  readonly runner: Runner;
  readonly url: string;
  urlOf(environment: string): string;
}

export async function running(t: TestContext, more: Partial<RunnerOptions> = {}, environments?: string[]): Promise<Running> {
  const at = await place(t, environments);
  const runner = await startRunner({ ...at.options, ...more });
  at.ends.push(() => runner.close());
  const urlOf = (environment: string) => `http://127.0.0.1:${runner.ports.get(environment)}`;
  return { ...at, runner, urlOf, url: urlOf('production') };
}

export function contentOf(version: string): Digest {
  return digestOf(version);
}

export function releaseOf(version: string): Digest {
  return digestOf(`release ${version}`);
}

export function component(folder: string, version: string, more: Partial<LaunchComponent> = {}): LaunchComponent {
  const { name = 'web', kind = 'web' } = more;
  const isWeb = kind === 'web';
  return {
    name,
    kind,
    directory: join(folder, 'content'),
    command: [process.execPath, isWeb ? 'main.mjs' : 'worker.mjs'],
    environment: { VERSION: version, CAIRN_COMPONENT: name },
    health: isWeb ? { path: '/', intervalMs: 10, threshold: 1, deadlineMs: 5_000 } : null,
    instances: isWeb || kind === 'worker' ? 1 : 0,
    routes: isWeb ? [{ host: null, path: '/' }] : [],
    schedule: null,
    overlap: false,
    timeoutMs: null,
    data: ['files'],
    limits: null,
    runtime: null,
    ...more,
  };
}

export function preparing(folder: string, version: string, components: readonly Partial<LaunchComponent>[] = [{}], application = 'shop'): PrepareRequest {
  return {
    operation: `prepare ${version}`,
    ...shop,
    application,
    content: contentOf(version),
    release: releaseOf(version),
    launch: { components: components.map((one) => component(folder, version, one)), schema: null },
  };
}

export function switching(version: string, expected: string | null, operation: string, more: Partial<SwitchRequest> = {}): SwitchRequest {
  return { operation, ...shop, content: contentOf(version), release: releaseOf(version), revision: 1, expected: expected === null ? null : contentOf(expected), ...more };
}

export function wayTo(version: string, restores: number): Way {
  return { content: contentOf(version), release: releaseOf(version), restores };
}

export async function served(url: string, path = '/'): Promise<{ version: string; pid: number; component: string; path: string }> {
  const response = await fetch(url + path);
  assert.equal(response.status, 200);
  return (await response.json()) as { version: string; pid: number; component: string; path: string };
}

export async function eventually(what: string, check: () => Promise<boolean> | boolean, withinMs = 10_000): Promise<void> {
  for (const start = performance.now(); performance.now() - start < withinMs; await sleep(20)) if (await check()) return;
  assert.fail(`never came true: ${what}`);
}

/** What workers said, each line in words. */
export async function saidBy(folder: string, application = 'shop'): Promise<string[][]> {
  const text = await readFile(join(folder, 'data', 'production', application, 'files', 'said'), 'utf8').catch(() => '');
  return text.trimEnd().split('\n').filter((line) => line !== '').map((line) => line.split(' '));
}

const child = `import { startRunner } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
import { loadSealer } from ${JSON.stringify(new URL('../home/index.ts', import.meta.url).href)};
const [folder, port] = process.argv.slice(1);
const clock = { now: () => new Date(), elapsed: () => performance.now() };
const environments = [{ name: 'production', host: '127.0.0.1', port: Number(port) }];
const seal = await loadSealer(folder + '/keys');
const runner = await startRunner({ directory: folder + '/state', socketPath: folder + '/socket', data: folder + '/data', users: folder + '/isolation', seal, environments, clock, drainMs: 1_000 });
console.log(runner.ports.get('production'));
process.on('SIGTERM', () => runner.close().then(() => process.exit()));`;

/** A runner that is a process of its own, to be killed. */
export async function spawnRunner({ folder, ends }: Place, port: number): Promise<{ process: ChildProcess; port: number; url: string }> {
  const args = ['--input-type=module', '-e', child, folder, String(port)];
  const spawned = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  ends.push(async () => {
    if (spawned.exitCode !== null || spawned.signalCode !== null) return;
    spawned.kill('SIGTERM');
    await once(spawned, 'exit');
  });
  const [line] = (await once(createInterface(spawned.stdout), 'line')) as [string];
  return { process: spawned, port: Number(line), url: `http://127.0.0.1:${line}` };
}
