import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePorts } from '../support/machine.ts';
import { pathOf } from './tools.ts';

const root = join(import.meta.dirname, '../..');
const run = promisify(execFile);

/** A Cairn with one release in staging, its log exported, and a distribution registry beside it. */
export interface World {
  readonly scratch: string;
  /** host:port */
  readonly ours: string;
  readonly theirs: string;
  readonly release: string;
  readonly keys: (name: string) => string;
  readonly log: string;
  cairn(...parameters: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  close(): Promise<void>;
}

export async function openWorld(): Promise<World> {
  const scratch = await mkdtemp('/tmp/cairn-peers-');
  const children: ChildProcess[] = [];
  const port = await freePorts(3);
  const registryPort = await freePorts(1);
  const app = join(scratch, 'app');
  const home = join(scratch, 'home');
  const environment = { ...process.env, CAIRN_HOME: home, CAIRN_PASSPHRASE: 'stone', CAIRN_USER: 'ada', CAIRN_PORT: String(port) };
  const cairn = (...parameters: string[]) =>
    run(process.execPath, [join(root, 'bin/cairn.js'), ...parameters], { cwd: app, env: environment }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  const good = async (...parameters: string[]) => {
    const ran = await cairn(...parameters, '--json');
    if (ran.code !== 0) throw new Error(`cairn ${parameters.join(' ')}: ${ran.stdout}${ran.stderr}`);
    return JSON.parse(ran.stdout) as { release: string };
  };
  const git = (...parameters: string[]) => run('git', ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', ...parameters], { cwd: app });
  const start = async (command: string, parameters: readonly string[], ready: RegExp) => {
    const child = spawn(command, parameters, { cwd: app, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    await new Promise<void>((resolve, reject) => {
      let text = '';
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => ready.test((text += part)) && resolve());
      child.once('exit', (code) => reject(new Error(`${command} ended with ${code}: ${text}`)));
    });
  };

  await cp(join(root, 'examples/hello'), app, { recursive: true });
  await git('init', '-q');
  await good('init');
  await git('add', '.');
  await git('commit', '-qm', 'Say hello');
  await start(process.execPath, [join(root, 'bin/cairn.js'), 'up'], /ready in/);
  const { release } = await good('release');
  await good('promote', release, 'staging');
  const log = join(scratch, 'log');
  await good('ledger', 'export', log);
  await mkdir(join(scratch, 'registry'));
  await writeFile(join(scratch, 'registry.yml'), `version: 0.1\nstorage: {filesystem: {rootdirectory: ${join(scratch, 'registry')}}}\nhttp: {addr: 127.0.0.1:${registryPort}}\n`);
  await start(pathOf('registry'), ['serve', join(scratch, 'registry.yml')], /listening on/);

  return {
    scratch, log, release, cairn,
    ours: `127.0.0.1:${port}`,
    theirs: `127.0.0.1:${registryPort}`,
    keys: (name) => join(home, name === 'ada' ? 'people' : 'keys', `${name}.pub`),
    close: async () => {
      for (const child of children.toReversed()) {
        if (child.exitCode !== null) continue;
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        await ended;
      }
      await run('chmod', ['-R', 'u+w', scratch]);
      await rm(scratch, { recursive: true, force: true });
    },
  };
}
