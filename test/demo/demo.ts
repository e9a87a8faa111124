// The main job, for real, in a temporary folder: commit to running process and back, under load. Ends by itself and leaves nothing.
import { execFile, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePorts } from '../support/machine.ts';
import { startLoad } from './load.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const scratch = await mkdtemp('/tmp/cairn-demo-');
const shop = join(scratch, 'hello');
const port = await freePorts(3);
const environment = { ...process.env, CAIRN_HOME: join(scratch, 'home'), CAIRN_PASSPHRASE: 'demo', CAIRN_USER: 'ada', CAIRN_PORT: String(port) };
const identity = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', '-c', 'init.defaultBranch=main', '-c', 'commit.gpgsign=false'];
const url = `http://127.0.0.1:${port + 2}/`;

interface Released { readonly release: string }
interface Moved { readonly switchedMs: number | null; readonly revision: { readonly release: string; readonly number: number } }

function say(what: string, digest: string, milliseconds: number | null, more = ''): void {
  const time = milliseconds === null ? '' : `${milliseconds < 100 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
  process.stdout.write(`  ${what.padEnd(34)} ${digest.replace('sha256:', '').slice(0, 12).padEnd(13)} ${time.padStart(9)}  ${more}\n`);
}

async function cairn<T>(...parameters: string[]): Promise<{ result: T; milliseconds: number }> {
  const start = performance.now();
  const { stdout } = await run(process.execPath, [join(root, 'bin/cairn.js'), ...parameters, '--json'], { cwd: shop, env: environment, maxBuffer: 16 << 20 });
  return { result: JSON.parse(stdout) as T, milliseconds: performance.now() - start };
}

async function refused(...parameters: string[]): Promise<{ code: number; message: string }> {
  const failure = await cairn(...parameters).then(() => undefined, (error: { code: number; stdout: string }) => error);
  if (failure === undefined) throw new Error(`cairn ${parameters.join(' ')} was to be refused and was not`);
  return { code: failure.code, message: (JSON.parse(failure.stdout) as { error: { message: string } }).error.message };
}

async function git(...parameters: string[]): Promise<void> {
  await run('git', [...identity, ...parameters], { cwd: shop });
}

async function liveNow(): Promise<string> {
  const response = await fetch(url);
  await response.arrayBuffer();
  return response.headers.get('cairn-release') ?? 'none';
}

let up: ReturnType<typeof spawn> | undefined;
try {
  await cp(join(root, 'examples/hello'), shop, { recursive: true });
  await git('init', '-q');
  process.stdout.write('Cairn: from a commit to a running process, and back\n\n');
  const made = await cairn<{ policy: string }>('init');
  say('init: keys, policy, trust', made.result.policy, made.milliseconds);
  await git('add', '.');
  await git('commit', '-qm', 'Say hello');

  const start = performance.now();
  const runner = spawn(process.execPath, [join(root, 'bin/cairn.js'), 'up'], { cwd: shop, env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  up = runner;
  await new Promise<void>((resolve, reject) => {
    runner.stdout.setEncoding('utf8').on('data', (text: string) => text.includes('ready in') && resolve());
    runner.once('exit', (code) => reject(new Error(`cairn up ended with ${code}`)));
  });
  say('up: runner and control server', '', performance.now() - start, `http://127.0.0.1:${port}`);

  const first = await cairn<Released>('release');
  say('release', first.result.release, first.milliseconds, 'built, signed, logged');
  const early = await refused('promote', first.result.release, 'production');
  say('promote to production, too early', first.result.release, null, `refused (exit ${early.code}): ${early.message.split(': ')[1] ?? ''}`);
  for (const place of ['staging', 'production']) {
    const { result } = await cairn<Moved>('promote', first.result.release, place);
    say(`promote to ${place}`, result.revision.release, result.switchedMs, 'switched');
  }

  const load = startLoad(url, 32);
  const server = await readFile(join(shop, 'server.js'), 'utf8');
  await writeFile(join(shop, 'server.js'), `${server}\n// A change that nobody needed.\n`);
  await git('commit', '-qam', 'Change what nobody asked for');
  const second = await cairn<Released>('release');
  say('release', second.result.release, second.milliseconds, 'under load from here on: 32 connections');
  for (const place of ['staging', 'production']) {
    const { result } = await cairn<Moved>('promote', second.result.release, place);
    say(`promote to ${place}`, result.revision.release, result.switchedMs, 'switched');
  }
  await sleep(500);
  const back = await cairn<Moved>('rollback', 'production', '--reason', 'nobody asked for it');
  say('rollback of production', back.result.revision.release, back.result.switchedMs, `switched; ${Math.round(back.milliseconds)} ms from Enter`);
  const serving = await liveNow();
  if (serving !== first.result.release) throw new Error(`production serves ${serving}, not ${first.result.release}`);
  const held = await refused('promote', second.result.release, 'production');
  say('promote what was rolled back', second.result.release, null, `refused (exit ${held.code}): quarantined`);
  await sleep(500);
  const counts = await load.stop();
  say('load', '', null, `${counts.requests} requests, ${counts.failed} failed`);

  const verified = await cairn<{ statements: unknown[]; checkpoint: number }>('verify', first.result.release);
  say('verify, from the bytes', first.result.release, verified.milliseconds, `${verified.result.statements.length} statements, log of ${verified.result.checkpoint}`);
  const rebuilt = await cairn<{ counted: number; same: boolean }>('ledger', 'rebuild');
  say('ledger rebuild', '', rebuilt.milliseconds, rebuilt.result.same ? `${rebuilt.result.counted} statements give the same index` : 'THE INDEX DIFFERED');
  if (counts.failed > 0 || !rebuilt.result.same) throw new Error('the demo did not hold what it shows');
} finally {
  if (up !== undefined && up.exitCode === null) {
    const ended = new Promise((resolve) => up?.once('exit', resolve));
    up.kill('SIGTERM');
    await ended;
  }
  await run('chmod', ['-R', 'u+w', scratch]).catch(() => {});
  await rm(scratch, { recursive: true, force: true });
}
