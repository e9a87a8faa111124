import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { freePorts } from '../support/machine.ts';

const execute = promisify(execFile);
const cairnPath = join(import.meta.dirname, '../../bin/cairn.js');

export interface Ran<T> {
  readonly code: number;
  /** What --json printed; of a failure, its error. */
  readonly result: T;
  /** From Enter to the command's end. */
  readonly milliseconds: number;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly fix: string | null;
  readonly context: { readonly rules?: readonly { readonly rule: string; readonly passed: boolean; readonly found: string }[] };
}

/** A folder of its own with a repository and a home for Cairn, and the commands as a person would give them. */
export class Place {
  readonly folder: string;
  readonly repository: string;
  readonly home: string;
  readonly port: number;
  readonly environment: Record<string, string>;
  #up: ChildProcess | undefined;

  private constructor(folder: string, name: string, port: number) {
    this.folder = folder;
    this.repository = join(folder, name);
    this.home = join(folder, 'home');
    this.port = port;
    const own = { CAIRN_HOME: this.home, CAIRN_PASSPHRASE: 'demo', CAIRN_USER: 'ada', CAIRN_PORT: String(port) };
    this.environment = { ...(process.env as Record<string, string>), ...own };
  }

  /** `fill` makes the application's files in the folder that it is given. */
  static async make(name: string, fill: (repository: string) => Promise<void>): Promise<Place> {
    const place = new Place(await mkdtemp('/tmp/cairn-p-'), name, await freePorts(3));
    // As root, applications run as users of their own: they must get through to what they run.
    await chmod(place.folder, 0o711);
    await fill(place.repository);
    await place.git('init', '-q');
    return place;
  }

  get staging(): string {
    return `http://127.0.0.1:${this.port + 1}`;
  }

  get production(): string {
    return `http://127.0.0.1:${this.port + 2}`;
  }

  async git(...parameters: string[]): Promise<string> {
    const identity = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', '-c', 'init.defaultBranch=main', '-c', 'commit.gpgsign=false'];
    return (await execute('git', [...identity, ...parameters], { cwd: this.repository })).stdout;
  }

  async edit(file: string, change: (text: string) => string): Promise<void> {
    const path = join(this.repository, file);
    const before = await readFile(path, 'utf8');
    const after = change(before);
    if (after === before) throw new Error(`${file} was to be changed and was not`);
    await writeFile(path, after);
  }

  /** Runs a command; whether it ends as it should is for the caller to say. */
  async run<T>(parameters: readonly string[], input?: string): Promise<Ran<T>> {
    const start = performance.now();
    const child = spawn(process.execPath, [cairnPath, ...parameters, '--json'], { cwd: this.repository, env: this.environment });
    child.stdin.end(input ?? '');
    let [printed, complained] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complained += text));
    const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)));
    const milliseconds = performance.now() - start;
    try {
      const result = JSON.parse(printed) as T & { error?: unknown };
      return { code, milliseconds, result: code !== 0 && result.error !== undefined ? (result.error as T) : result };
    } catch {
      throw new Error(`cairn ${parameters.join(' ')} ended with ${code}: ${printed}${complained}`);
    }
  }

  /** A command that must succeed. */
  async cairn<T>(...parameters: string[]): Promise<Ran<T>> {
    return this.must(parameters);
  }

  async must<T>(parameters: readonly string[], input?: string): Promise<Ran<T>> {
    const ran = await this.run<T>(parameters, input);
    if (ran.code !== 0) throw new Error(`cairn ${parameters.join(' ')} ended with ${ran.code}: ${JSON.stringify(ran.result, null, 2)}`);
    return ran;
  }

  /** A command that must be refused, with this exit code. */
  async refused(exit: number, ...parameters: string[]): Promise<Ran<Failure>> {
    const ran = await this.run<Failure>(parameters);
    const ended = `cairn ${parameters.join(' ')} was to end with ${exit} and ended with ${ran.code}`;
    if (ran.code !== exit) throw new Error(`${ended}: ${JSON.stringify(ran.result, null, 2)}`);
    return ran;
  }

  /** Resolves when everything is ready; gives the milliseconds. */
  async up(): Promise<number> {
    const start = performance.now();
    const child = spawn(process.execPath, [cairnPath, 'up'], { cwd: this.repository, env: this.environment, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#up = child;
    await new Promise<void>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => text.includes('ready in') && resolve());
      child.once('exit', (code) => reject(new Error(`cairn up ended with ${code}`)));
    });
    return performance.now() - start;
  }

  /** Stops what was started and removes everything. */
  async remove(): Promise<void> {
    const child = this.#up;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    await execute('chmod', ['-R', 'u+w', this.folder]).catch(() => {});
    await rm(this.folder, { recursive: true, force: true });
  }
}
