import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { realpathSync, rmSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Request } from '#attest';
import type { Digest } from '#core';
import { homePaths, loadPerson, readToken } from '#home';
import type { SignedStatement } from '#release';
import { apiClient, type ApiClient } from '#server';
import { spkiOf, type Signer } from '#sign';
import { assertPublished } from './schema.ts';

// A machine of its own for a test: a home, a repository, ports, and the commands as a person would run them.

export const top = join(import.meta.dirname, '../..');
/** The pinned Node by its own name, so that a process is the one that was started and not a parent of it. */
export const node = realpathSync(join(top, 'node_modules/.bin/node'));
export const user = 'ada';
export const passphrase = 'correct horse battery staple';
export const application = 'hello';

const execute = promisify(execFile);

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What was printed, where it is one JSON document. */
  readonly json: unknown;
}

export interface Started {
  readonly child: ChildProcess;
  /** Resolves when it has ended, however. */
  readonly ended: Promise<void>;
}

export interface MachineOptions {
  /** Leave the example as it is, with the dependency that npm fetches. */
  readonly dependencies?: boolean;
}

/** The compressed runtime, made once a test process: it takes seconds. */
let sharedBuilds: string | undefined;

export class Machine {
  readonly folder: string;
  readonly home: string;
  readonly repository: string;
  readonly base: number;
  readonly environment: Record<string, string>;
  #up: Started | undefined;

  private constructor(folder: string, base: number) {
    this.folder = folder;
    this.home = join(folder, 'home');
    this.repository = join(folder, 'hello');
    this.base = base;
    this.environment = {
      ...(process.env as Record<string, string>), CAIRN_HOME: this.home, CAIRN_PASSPHRASE: passphrase, CAIRN_USER: user, CAIRN_PORT: String(base),
      NODE_COMPILE_CACHE: '/tmp/cairn-test-compiled',
    };
  }

  static async make(t: TestContext, options: MachineOptions = {}): Promise<Machine> {
    // Short: the path of a socket has a hundred bytes.
    const machine = new Machine(await mkdtemp('/tmp/cairn-t-'), await freePorts(3));
    // Applications have users of their own where root runs them, and must pass through.
    await chmod(machine.folder, 0o711);
    t.after(async () => {
      await machine.stop();
      await rm(machine.folder, { recursive: true, force: true });
    });
    await makeRepository(machine.repository, options);
    if (sharedBuilds !== undefined) {
      await mkdir(machine.home, { mode: 0o700 });
      await execute('cp', ['-al', sharedBuilds, join(machine.home, 'builds')]);
    }
    return machine;
  }

  get url(): string {
    return `http://127.0.0.1:${this.base}`;
  }

  urlOf(environment: 'staging' | 'production'): string {
    return `http://127.0.0.1:${this.base + (environment === 'staging' ? 1 : 2)}`;
  }

  /** cairn init, and its files committed. */
  async init(): Promise<void> {
    const ran = await this.cairn('init', '--json');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    await commitAll(this.repository, 'init');
  }

  /** Builds HEAD. */
  async release(): Promise<Digest> {
    const ran = await this.cairn('release', '--json');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    if (sharedBuilds === undefined) {
      sharedBuilds = await mkdtemp('/tmp/cairn-t-builds-');
      const made = sharedBuilds;
      await execute('cp', ['-al', `${join(this.home, 'builds')}/.`, made]);
      process.once('exit', () => rmSync(made, { recursive: true, force: true }));
    }
    return (ran.json as { release: Digest }).release;
  }

  /** Another greeting, committed: the next release. */
  async change(greeting: string): Promise<void> {
    const path = join(this.repository, 'cairn.yaml');
    await writeFile(path, (await readFile(path, 'utf8')).replace(/GREETING: .*/, `GREETING: ${greeting}`));
    await commitAll(this.repository, `greet with ${greeting}`);
  }

  async cairn(...parameters: string[]): Promise<Ran> {
    const ran = await runCairn(this.repository, this.environment, parameters);
    if (parameters.includes('--json') && ran.json !== undefined) assertPublished(parameters, ran.json, 'error' in (ran.json as object));
    return ran;
  }

  /** cairn up, until it says that it is ready. */
  async startUp(): Promise<Started> {
    this.#up = await start([join(top, 'bin/cairn.js'), 'up'], 'ready in', { cwd: this.repository, env: this.environment });
    return this.#up;
  }

  /** Tells cairn up to end and waits for it. */
  async stop(): Promise<void> {
    this.#up?.child.kill('SIGTERM');
    await this.#up?.ended;
    this.#up = undefined;
  }

  /** The control server's process. */
  async serverPid(): Promise<number> {
    for (const pid of (await readdir('/proc')).filter((one) => /^\d+$/.test(one))) {
      const [environ = '', command = ''] = await Promise.all(['environ', 'cmdline'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')));
      if (environ.includes(`CAIRN_HOME=${this.home}\0`) && command.includes('main/server.ts')) return Number(pid);
    }
    throw new Error('no control server runs');
  }

  async api(): Promise<ApiClient> {
    return apiClient(this.url, await readToken(homePaths(this.home)));
  }

  async person(): Promise<Signer> {
    return loadPerson(homePaths(this.home).people, user, passphrase);
  }
}

export function signedRequest(signer: Signer, release: Digest, wanted: Pick<Request, 'action' | 'environment' | 'nonce' | 'head'>): SignedStatement {
  const predicate: Request = { ...wanted, application, by: user, configuration: {}, secrets: {}, restores: null, reason: null };
  const statement = { predicateType: predicateTypes.request, subject: [subjectOf(application, release)], predicate };
  return { envelope: signEnvelope(makeStatement(statement), signer), key: spkiOf(signer.publicKey).toString('base64') };
}

export interface RunAs {
  readonly wrapper?: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
}

export async function runCairn(cwd: string, env: Record<string, string>, parameters: readonly string[], as: RunAs = {}): Promise<Ran> {
  const { wrapper = [], ...identity } = as;
  const [file = '', ...rest] = [...wrapper, node, join(top, 'bin/cairn.js'), ...parameters];
  const child = spawn(file, rest, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], ...identity });
  const read = async (stream: NodeJS.ReadableStream) => (await Array.fromAsync(stream as AsyncIterable<Buffer>)).join('');
  const [stdout, stderr, [code]] = await Promise.all([read(child.stdout), read(child.stderr), once(child, 'exit') as Promise<[number | null]>]);
  return { code: code ?? -1, stdout, stderr, json: parsed(stdout) };
}

/** Starts a process of Node and waits until it prints `word`; rejects where it ends before. Its standard input stays a pipe. */
export async function start(parameters: readonly string[], word: string, options: { cwd: string; env: Record<string, string>; wrapper?: readonly string[]; uid?: number; gid?: number }): Promise<Started> {
  const { cwd, env, wrapper = [], ...identity } = options;
  const [file = '', ...rest] = [...wrapper, node, ...parameters];
  const child = spawn(file, rest, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], ...identity });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let text = '';
  await new Promise<void>((resolve, reject) => {
    const heard = (chunk: string) => {
      text += chunk;
      if (text.includes(word)) resolve();
    };
    child.stdout.setEncoding('utf8').on('data', heard);
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => void (text += chunk));
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`ended with ${signal ?? code}: ${text}`)));
  });
  return { child, ended };
}

/** The example as a repository of one commit, the same bytes and the same commit on every machine. */
export async function makeRepository(folder: string, { dependencies = false }: MachineOptions = {}): Promise<void> {
  await cp(join(top, 'examples/hello'), folder, { recursive: true, filter: (path) => !path.endsWith('node_modules') });
  if (!dependencies) {
    await rm(join(folder, 'package-lock.json'));
    await writeFile(join(folder, 'package.json'), '{ "name": "hello", "version": "1.0.0", "private": true, "type": "module" }\n');
    const server = await readFile(join(folder, 'server.js'), 'utf8');
    await writeFile(join(folder, 'server.js'), server.replace(/^import ms from 'ms';$/m, 'const ms = (value) => `${value}ms`;'));
    await writeFile(
      join(folder, 'cairn.yaml'),
      `application: ${application}\ntoolchain: { node: ${process.versions.node} }\nstages:\n  - { name: application, layer: [server.js, package.json] }\n` +
        'components:\n  web: { kind: web, command: [node, server.js], health: { path: /healthz } }\nconfirm: { seconds: 0 }\nconfiguration:\n  GREETING: one\n',
    );
  }
  await git(folder, 'init', '--quiet', '--initial-branch=main');
  await commitAll(folder, 'hello');
}

export async function commitAll(folder: string, message: string): Promise<void> {
  await git(folder, 'add', '--all');
  await git(folder, 'commit', '--quiet', '--allow-empty', `--message=${message}`);
}

export async function git(folder: string, ...parameters: string[]): Promise<string> {
  const when = '2026-01-02T03:04:05Z';
  const env = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Ada', GIT_AUTHOR_EMAIL: 'ada@example.com', GIT_AUTHOR_DATE: when,
    GIT_COMMITTER_NAME: 'Ada', GIT_COMMITTER_EMAIL: 'ada@example.com', GIT_COMMITTER_DATE: when,
  };
  return (await execute('git', parameters, { cwd: folder, env })).stdout;
}

/** The first of `count` neighbouring ports that nobody holds. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 10_000);
    const held = await Promise.all(Array.from({ length: count }, (_, at) => isHeld(base + at)));
    if (!held.includes(true)) return base;
  }
}

function isHeld(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(true));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(false)));
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
