import { execFile, fork, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Request } from '#attest';
import { CairnError, type Digest } from '#core';
import { loadPerson, openHome, readToken } from '#home';
import { runnerClient, type RunnerClient } from '#runner';
import { apiClient, type ApiClient, type MovedAnswer } from '#server';
import type { Signer } from '#sign';
import { signRequest } from '../../src/cli/session.ts';
import type { Report } from './bench.ts';
import type { Order, Word } from './load.ts';
import type { MixedTotals } from './mixed.ts';

// How long a rollback takes while users are served: from the call of the API to the first response by the release that comes
// back, to a request that was sent after the call. In four ways: with everything well; with the control server killed just before;
// with the disk full; and by the command, from Enter. Beside the kept connections there are slow answers, uploads, WebSockets and
// event streams all the time.

const connections = 32;
const targets = { p50: 20, p95: 50 };
const person = 'bench';
const application = 'bench';
const environment = 'production';
const cairn = join(import.meta.dirname, '../../bin/cairn.js');
const run = promisify(execFile);

type Way = 'usual' | 'server killed' | 'disk full' | 'from Enter';

interface Round {
  readonly way: Way;
  /** Call to the first response by the release that came back. */
  readonly served: number;
  /** Call to the answer of the API: it is recorded. */
  readonly recorded: number;
  /** The runner's own measure. */
  readonly switched: number;
}

export async function rollback(count: number, say: (line: string) => void): Promise<Report> {
  // Before we add to it: what else the machine does is in every number below.
  const [busy = 0] = loadavg();
  const folder = await mkdtemp(join(tmpdir(), 'cairn-'));
  await chmod(folder, 0o711);
  const ends: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  // A disk of its own, so that it can be filled.
  const ownDisk = process.getuid?.() === 0;
  if (ownDisk) {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2g,mode=711', 'tmpfs', folder]);
    ends.unshift(() => run('umount', ['--lazy', folder]));
  }
  try {
    const port = await freePorts(3);
    const place = { home: join(folder, 'home'), repository: join(folder, 'app'), port, passphrase: randomBytes(16).toString('hex') };
    const variables = { ...process.env, CAIRN_HOME: place.home, CAIRN_PASSPHRASE: place.passphrase, CAIRN_USER: person, CAIRN_PORT: String(port) };
    const command = (...words: string[]) => run(process.execPath, [cairn, ...words], { cwd: place.repository, env: variables });

    say('two releases of a small application, in staging and production');
    await makeRepository(place.repository);
    await command('init');
    await commitAll(place.repository, 'cairn');
    ends.unshift(await startCairn(place.repository, variables));
    const older = await releaseEverywhere(command);
    await writeServer(place.repository, 2);
    await commitAll(place.repository, 'second version');
    const newer = await releaseEverywhere(command);

    const { paths, settings } = await openHome(place.home);
    const api = apiClient(`http://${settings.host}:${settings.port}`, await readToken(paths));
    const mover = new Mover(api, await loadPerson(paths.people, person, place.passphrase), newer);
    const load = await startLoad(`http://${settings.host}:${port + 2}`, [older, newer]);
    ends.unshift(() => load.end());
    const mixed = await startMixed(`http://${settings.host}:${port + 2}`);
    ends.unshift(() => ended(mixed, 'SIGKILL'));
    const runner = runnerClient(paths.socket);
    ends.unshift(() => runner.close());

    const ways: Way[] = [...repeated('usual', count), ...repeated('server killed', Math.ceil(count / 10)), ...(ownDisk ? repeated('disk full', Math.ceil(count / 10)) : []), ...repeated('from Enter', Math.ceil(count / 10))];
    say(`${ways.length} rollbacks under ${connections} connections, slow answers, uploads, WebSockets and event streams${ownDisk ? '' : '; full disk skipped: not root'}`);
    const rounds: Round[] = [];
    const disk: number[] = [];
    const probe = await open(join(place.home, 'fdatasync'), 'w');
    ends.unshift(() => probe.close());
    const byCommand = async (): Promise<Answer> => {
      const { stdout } = await command('rollback', environment, '--reason', 'benchmark', '--json');
      const moved = JSON.parse(stdout) as MovedAnswer;
      return { release: moved.revision.release, milliseconds: moved.switchedMs ?? Number.NaN };
    };
    for (const way of ways) {
      await load.watch(older);
      rounds.push(await oneRollback(way, { api, runner, load, older, folder: place.home, byCommand, switched: () => mixed.send('switched') }));
      for (let again = 0; again < Math.ceil(200 / count); again++) disk.push(await writeDurably(probe));
      await mover.forward();
      mixed.send('switched');
    }
    const totals = await load.stop();
    const told = once(mixed, 'message') as Promise<[MixedTotals]>;
    mixed.send('stop');
    const [others] = await told;
    return reportOf(rounds, disk, totals, others, busy);
  } finally {
    if (process.env['BENCH_LOGS']) await run('sh', ['-c', 'cp -r "$0"/home/runner/logs "$1"', folder, process.env['BENCH_LOGS']]).catch(() => {});
    for (const end of ends) await end();
  }
}

interface Answer {
  readonly release: Digest;
  readonly milliseconds: number;
}

interface Scene {
  readonly api: ApiClient;
  readonly runner: RunnerClient;
  readonly load: Load;
  readonly older: Digest;
  readonly folder: string;
  byCommand(): Promise<Answer>;
  switched(): void;
}

async function oneRollback(way: Way, scene: Scene): Promise<Round> {
  const { api, runner, load, older, folder } = scene;
  const wanted = { operation: randomBytes(16).toString('hex'), application, environment, by: person, reason: 'benchmark' };
  if (way === 'server killed') await killServer(folder);
  if (way === 'disk full') await fill(join(folder, 'filler'));
  const start = process.hrtime.bigint();
  const asked = way === 'from Enter' ? scene.byCommand() : api.rollback(wanted).then(({ revision, switchedMs }): Answer => ({ release: revision.release, milliseconds: switchedMs ?? Number.NaN }));
  const moved = await asked.catch(async (error: { code?: string }): Promise<Answer> => {
    if (error.code !== 'unreachable') throw error;
    // As the command does: who cannot reach the server asks the runner.
    return runner.rollback({ ...wanted, restores: null });
  });
  const answered = process.hrtime.bigint();
  scene.switched();
  if (way === 'disk full') await rm(join(folder, 'filler'), { force: true });
  if (moved.release !== older || !(moved.milliseconds >= 0)) throw new CairnError('internal', `${way}: rolled back to ${moved.release}, not to ${older}`);
  const arrived = await load.first(start);
  return { way, served: milliseconds(start, arrived), recorded: milliseconds(start, answered), switched: moved.milliseconds };
}

async function killServer(home: string): Promise<void> {
  for (const pid of (await readdir('/proc')).filter((one) => /^\d+$/.test(one))) {
    const [environ = '', command = ''] = await Promise.all(['environ', 'cmdline'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')));
    if (environ.includes(`CAIRN_HOME=${home}\0`) && command.includes('main/server.ts')) process.kill(Number(pid), 'SIGKILL');
  }
}

/** Until not one byte more fits. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  const full = (error: { code?: string }) => error.code === 'ENOSPC';
  try {
    for (let size = 64 << 20; size >= 1; size = size >= 4096 ? size >> 1 : 0) {
      const block = Buffer.alloc(size, 1);
      while (await file.write(block).then(({ bytesWritten }) => bytesWritten === size, (error: { code?: string }) => { if (!full(error)) throw error; return false; }));
    }
  } finally {
    await file.close();
  }
}

function repeated(way: Way, count: number): Way[] {
  return Array.from({ length: count }, () => way);
}

async function startMixed(url: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'mixed.ts'), [url, '10000'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  await once(child, 'message');
  return child;
}

/** Brings the newer release back, so that there is something to roll back from; not measured. */
class Mover {
  readonly #api: ApiClient;
  readonly #signer: Signer;
  readonly #release: Digest;

  constructor(api: ApiClient, signer: Signer, release: Digest) {
    this.#api = api;
    this.#signer = signer;
    this.#release = release;
  }

  async forward(): Promise<void> {
    const [resume, promote] = [this.#request('resume'), this.#request('promote')];
    await again(() => this.#api.resume(resume));
    await again(() => this.#api.promote(promote));
  }

  #request(action: Request['action']) {
    const nonce = randomBytes(16).toString('hex');
    return signRequest(this.#signer, this.#release, { action, application, environment, by: person, nonce, head: null, configuration: {}, secrets: {}, restores: null, reason: null });
  }
}

/** The server may just be starting: the same signed request is asked until it answers. */
async function again<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof CairnError) || !error.retryable || tries > 300) throw error;
      await sleep(50);
    }
  }
}

type Totals = Extract<Word, { kind: 'totals' }>;

interface Load {
  watch(release: Digest): Promise<void>;
  /** When the first response of the watched release to a request of `since` or later arrived. */
  first(since: bigint): Promise<bigint>;
  stop(): Promise<Totals>;
  end(): Promise<void>;
}

async function startLoad(url: string, releases: readonly Digest[]): Promise<Load> {
  const child = fork(join(import.meta.dirname, 'load.ts'), [url, String(connections), ...releases], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  async function hear<K extends Word['kind']>(kind: K, order?: Order): Promise<Extract<Word, { kind: K }>> {
    const limit = new AbortController();
    const late = sleep(30_000, undefined, { signal: limit.signal }).then(() => {
      throw new CairnError('internal', `the load did not say "${kind}" in 30 s`);
    });
    late.catch(() => {});
    const gone = once(child, 'exit', { signal: limit.signal }).then(() => {
      throw new CairnError('internal', 'the load ended');
    });
    gone.catch(() => {});
    const heard = new Promise<Extract<Word, { kind: K }>>((resolve) => {
      const listener = (word: Word) => {
        if (word.kind !== kind) return;
        child.off('message', listener);
        resolve(word as Extract<Word, { kind: K }>);
      };
      child.on('message', listener);
    });
    if (order !== undefined) child.send(order);
    try {
      return await Promise.race([heard, late, gone]);
    } finally {
      limit.abort();
    }
  }
  await hear('running');
  return {
    watch: async (release) => void (await hear('watching', { kind: 'watch', release })),
    first: async (since) => BigInt((await hear('first', { kind: 'first', since: String(since) })).arrived),
    stop: () => hear('totals', { kind: 'stop' }),
    end: () => ended(child, 'SIGKILL'),
  };
}

async function startCairn(directory: string, env: NodeJS.ProcessEnv): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [cairn, 'up'], { cwd: directory, env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more;
      if (text.includes('ready in')) resolve();
    });
    child.once('exit', (code) => reject(new CairnError('internal', `cairn up ended with ${code}: ${text}`)));
  });
  await ready;
  return () => ended(child, 'SIGTERM');
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

async function releaseEverywhere(command: (...words: string[]) => Promise<{ stdout: string }>): Promise<Digest> {
  const { release } = JSON.parse((await command('release', '--json')).stdout) as { release: Digest };
  for (const place of ['staging', environment]) await command('promote', release, place);
  return release;
}

async function makeRepository(directory: string): Promise<void> {
  await mkdir(directory);
  await run('git', ['init', '--quiet', '--initial-branch=main', directory]);
  await writeServer(directory, 1);
  await writeFile(join(directory, 'package.json'), `${JSON.stringify({ name: application, private: true })}\n`);
  await writeFile(join(directory, 'cairn.yaml'), `application: ${application}
toolchain: { node: 26.10.0 }
stages:
  - { name: application, layer: [server.js, package.json] }
components:
  web: { kind: web, command: [node, server.js], health: { path: /healthz } }
confirm: { seconds: 0 }
`);
  await commitAll(directory, 'first version');
}

async function writeServer(directory: string, version: number): Promise<void> {
  await writeFile(join(directory, 'server.js'), `// Version ${version}. Answers the release that it is; slowly, in a stream or over a WebSocket where it is asked to.
const { createServer } = require('node:http');
const { createHash } = require('node:crypto');
const { HOST, PORT, CAIRN_RELEASE } = process.env;
const server = createServer((request, response) => answer(request, response).catch((error) => console.error(request.url, error)));
async function answer(request, response) {
  if (request.url === '/slow') {
    for (let part = 0; part < 10; part++) { response.write('x'.repeat(1024)); await new Promise((resolve) => setTimeout(resolve, 50)); }
    response.end();
  } else if (request.url === '/upload') {
    let size = 0;
    for await (const chunk of request) size += chunk.length;
    response.writeHead(size === 6 * 65536 ? 200 : 500).end();
  } else if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const timer = setInterval(() => response.write('data: tick\\n\\n'), 100);
    response.once('close', () => clearInterval(timer));
  } else response.end(request.url === '/healthz' ? 'healthy' : CAIRN_RELEASE);
}
server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n');
  socket.on('error', () => {}).pipe(socket);
});
process.once('SIGTERM', () => server.close(() => process.exit(0)));
server.listen(Number(PORT), HOST);
`);
}

async function commitAll(directory: string, message: string): Promise<void> {
  const git = (...words: string[]) => run('git', ['-C', directory, '-c', 'user.name=bench', '-c', 'user.email=bench@example.com', '-c', 'commit.gpgsign=false', ...words]);
  await git('add', '--all');
  await git('commit', '--quiet', '--message', message);
}

/** The first of `count` ports in a row that nobody listens at. */
async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const first = 20_000 + 4 * (randomBytes(2).readUInt16BE() % 2_500);
    const free = await Promise.all(Array.from({ length: count }, (_, at) => isFree(first + at)));
    if (free.every(Boolean)) return first;
  }
  throw new CairnError('internal', 'found no free ports');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** The machine's own price of one durable write, in the folder that Cairn writes to. */
async function writeDurably(file: Awaited<ReturnType<typeof open>>): Promise<number> {
  const start = process.hrtime.bigint();
  await file.write(Buffer.alloc(200, 0x20));
  await file.datasync();
  return milliseconds(start, process.hrtime.bigint());
}

function reportOf(rounds: readonly Round[], disk: readonly number[], totals: Totals, mixed: MixedTotals, busy: number): Report {
  const of = (way: Way) => rounds.filter((one) => one.way === way);
  const served = of('usual').map((one) => one.served);
  const measured: [string, readonly number[]][] = [
    ['call to first response by the release that came back', served],
    ['call to answer: recorded in the log', of('usual').map((one) => one.recorded)],
    ["the runner's own switch", of('usual').map((one) => one.switched)],
    ['control server killed just before: call to first response', of('server killed').map((one) => one.served)],
    ['disk full: call to first response', of('disk full').map((one) => one.served)],
    ['cairn rollback, Enter to first response', of('from Enter').map((one) => one.served)],
    ['cairn rollback, Enter to its end', of('from Enter').map((one) => one.recorded)],
    ['one fdatasync of 200 bytes on this disk', disk],
  ];
  const row = ([name, values]: [string, readonly number[]]) => [name, String(values.length), ...[50, 95, 99, 100].map((part) => percentile(values, part).toFixed(2))];
  const { requests, failed, seconds, reasons } = totals;
  const missed: string[] = [];
  if (failed > 0) missed.push(`${failed} requests failed: ${JSON.stringify(reasons)}`);
  for (const [reason, times] of Object.entries(mixed.failed)) missed.push(`${times} times ${reason}`);
  for (const [name, part] of [['p50', 50], ['p95', 95]] as const) {
    const value = percentile(served, part);
    // A short form sees mostly a process that is still warming up: it judges failures only, the full form judges times too.
    if (served.length >= 200 && !(value <= targets[name])) missed.push(`${name} of call to first response is ${value.toFixed(2)} ms, target ${targets[name]} ms`);
  }
  const counted = (counts: Readonly<Record<string, number>>) => Object.entries(counts).map(([name, value]) => `${value} ${name}`).join(', ') || 'none';
  return {
    title: `${rounds.length} rollbacks under ${connections} kept connections and streams; targets: nothing fails before the drain deadline, call to first response p50 ${targets.p50} ms, p95 ${targets.p95} ms`,
    tables: [
      { columns: ['milliseconds', 'n', 'p50', 'p95', 'p99', 'max'], rows: measured.filter(([, values]) => values.length > 0).map(row) },
      { columns: ['load', ''], rows: [['requests', String(requests)], ['failed', String(failed)], ['others, done', counted(mixed.done)], ['others, cut at the drain deadline', counted(mixed.cut)], ['others, failed', counted(mixed.failed)], ['requests a second', (requests / seconds).toFixed(0)], ['connections opened', String(totals.connections)], ['processors', String(availableParallelism())], ['load average before the start', busy.toFixed(2)]] },
    ],
    missed,
  };
}

/** By nearest rank. */
function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil((part / 100) * sorted.length) - 1, 0)] ?? Number.NaN;
}

function milliseconds(from: bigint, to: bigint): number {
  return Number(to - from) / 1e6;
}
