import { execFile, fork, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Request } from '#attest';
import { CairnError, type Digest } from '#core';
import { loadPerson, openHome, readToken } from '#home';
import { apiClient, type ApiClient } from '#server';
import type { Signer } from '#sign';
import { signRequest } from '../../src/cli/session.ts';
import type { Report } from './bench.ts';
import type { Order, Word } from './load.ts';

// How long a rollback takes while users are served: from the call of the API to the first response by the release that comes
// back, to a request that was sent after the call.

const connections = 32;
const targets = { p50: 20, p95: 50 };
const person = 'bench';
const application = 'bench';
const environment = 'production';
const cairn = join(import.meta.dirname, '../../bin/cairn.js');
const run = promisify(execFile);

interface Round {
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
  const ends: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
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

    say(`${count} rollbacks under ${connections} connections`);
    const rounds: Round[] = [];
    const disk: number[] = [];
    const probe = await open(join(place.home, 'fdatasync'), 'w');
    ends.unshift(() => probe.close());
    for (let at = 0; at < count; at++) {
      await load.watch(older);
      rounds.push(await oneRollback(api, load, older));
      for (let again = 0; again < Math.ceil(200 / count); again++) disk.push(await writeDurably(probe));
      await mover.forward();
    }
    const totals = await load.stop();
    return reportOf(rounds, disk, totals, busy);
  } finally {
    for (const end of ends) await end();
  }
}

async function oneRollback(api: ApiClient, load: Load, target: Digest): Promise<Round> {
  const wanted = { operation: randomBytes(16).toString('hex'), application, environment, by: person, reason: 'benchmark' };
  const start = process.hrtime.bigint();
  const moved = await api.rollback(wanted);
  const answered = process.hrtime.bigint();
  if (moved.revision.release !== target || moved.switchedMs === null) throw new CairnError('internal', `rolled back to ${moved.revision.release}, not to ${target}`);
  const arrived = await load.first(start);
  return { served: milliseconds(start, arrived), recorded: milliseconds(start, answered), switched: moved.switchedMs };
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
    await this.#api.resume(this.#request('resume'));
    await this.#api.promote(this.#request('promote'));
  }

  #request(action: Request['action']) {
    const nonce = randomBytes(16).toString('hex');
    return signRequest(this.#signer, this.#release, { action, application, environment, by: person, nonce, head: null, configuration: {}, secrets: {}, restores: null, reason: null });
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
`);
  await commitAll(directory, 'first version');
}

async function writeServer(directory: string, version: number): Promise<void> {
  await writeFile(join(directory, 'server.js'), `// Version ${version}. Answers the release that it is.
const { createServer } = require('node:http');
const { HOST, PORT, CAIRN_RELEASE } = process.env;
const server = createServer((request, response) => response.end(request.url === '/healthz' ? 'healthy' : CAIRN_RELEASE));
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

function reportOf(rounds: readonly Round[], disk: readonly number[], totals: Totals, busy: number): Report {
  const served = rounds.map((one) => one.served);
  const end = Math.min(20, Math.floor(rounds.length / 2));
  const measured: [string, readonly number[]][] = [
    ['call to first response by the release that came back', served],
    ['call to answer: recorded in the log', rounds.map((one) => one.recorded)],
    ["the runner's own switch", rounds.map((one) => one.switched)],
    ['one fdatasync of 200 bytes on this disk', disk],
    [`call to first response, first ${end} rounds`, served.slice(0, end)],
    [`call to first response, last ${end} rounds`, served.slice(served.length - end)],
  ];
  const row = ([name, values]: [string, readonly number[]]) => [name, String(values.length), ...[50, 95, 99, 100].map((part) => percentile(values, part).toFixed(2))];
  const { requests, failed, seconds, reasons } = totals;
  const missed: string[] = [];
  if (failed > 0) missed.push(`${failed} requests failed: ${JSON.stringify(reasons)}`);
  for (const [name, part] of [['p50', 50], ['p95', 95]] as const) {
    const value = percentile(served, part);
    // A short form sees mostly a process that is still warming up: it judges failures only, the full form judges times too.
    if (rounds.length >= 200 && !(value <= targets[name])) missed.push(`${name} of call to first response is ${value.toFixed(2)} ms, target ${targets[name]} ms`);
  }
  return {
    title: `${rounds.length} rollbacks under ${connections} kept connections; targets: no failed request, call to first response p50 ${targets.p50} ms, p95 ${targets.p95} ms`,
    tables: [
      { columns: ['milliseconds', 'n', 'p50', 'p95', 'p99', 'max'], rows: measured.filter(([, values]) => values.length > 0).map(row) },
      { columns: ['load', ''], rows: [['requests', String(requests)], ['failed', String(failed)], ['requests a second', (requests / seconds).toFixed(0)], ['connections opened', String(totals.connections)], ['processors', String(availableParallelism())], ['load average before the start', busy.toFixed(2)]] },
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
