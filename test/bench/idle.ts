import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePorts, passphrase, top, user } from '../support/machine.ts';
import { library } from '../support/library.ts';
import type { Report } from './bench.ts';

// What Cairn costs when nothing happens, with many releases in its log: memory of its two processes, how long `up` takes to be
// ready, and a cold `cairn status` beside `node -e 0`, taken in turn in one run.

const run = promisify(execFile);
const limits = { runner: 100, server: 200, readyMs: 1000, ratio: 2.5 };
const cairn = join(top, 'bin/cairn.js');

export async function idle(count: number, say: (line: string) => void): Promise<Report> {
  const ends: (() => unknown)[] = [];
  const made = await library({ after: (end: () => unknown) => ends.push(end) } as unknown as TestContext);
  // What the folder is removed by runs last; the server that made the releases ends before the real one starts.
  const remove = ends.pop();
  try {
    await chmod(made.folder, 0o711);
    say(`${count} releases, every tenth promoted`);
    for (let at = 0; at < count; at++) {
      const { release } = await made.release({ files: { 'server.js': `// ${at}\n` }, packages: { ms: '2.1.3' }, message: `change ${at}` });
      if (at % 10 === 0) await made.promote(release, 'staging');
    }
    for (const end of ends.splice(0)) await end();
    const port = await freePorts(3);
    const { paths, settings } = made.home;
    await writeFile(paths.settings, JSON.stringify({ ...settings, port, environments: settings.environments.map(({ name }, at) => ({ name, port: port + 1 + at })) }));
    const env = { ...(process.env as Record<string, string>), CAIRN_HOME: paths.root, CAIRN_USER: user, CAIRN_PASSPHRASE: passphrase };

    say('up, five times');
    const ready: number[] = [];
    for (let at = 0; at < 5; at++) {
      const start = performance.now();
      const up = await startUp(made.repository, env);
      ready.push(performance.now() - start);
      await up.stop();
    }
    const up = await startUp(made.repository, env);
    ends.unshift(up.stop);
    await sleep(15_000);
    const resident = { runner: await residentOf(paths.root, 'main/cairn.ts'), server: await residentOf(paths.root, 'main/server.ts') };

    say('status and node -e 0, thirty times in turn');
    const [status, node]: [number[], number[]] = [[], []];
    for (let at = 0; at < 31; at++) {
      const [a, b] = [await timed(['-e', '0'], made.repository, env), await timed([cairn, 'status'], made.repository, env)];
      // The first of each fills caches.
      if (at === 0) continue;
      node.push(a);
      status.push(b);
    }
    const ratio = median(status) / median(node);
    const missed = [
      ...(resident.runner > limits.runner ? [`the runner has ${resident.runner} MB, limit ${limits.runner}`] : []),
      ...(resident.server > limits.server ? [`the control server has ${resident.server} MB, limit ${limits.server}`] : []),
      ...(median(ready) > limits.readyMs ? [`up is ready in ${median(ready).toFixed(0)} ms, limit ${limits.readyMs}`] : []),
      ...(ratio > limits.ratio ? [`status takes ${ratio.toFixed(2)} times node -e 0, limit ${limits.ratio}`] : []),
    ];
    const rows = [
      ['runner, resident MB', String(resident.runner)], ['control server, resident MB', String(resident.server)], ['up ready, median ms of 5', median(ready).toFixed(0)],
      ['cairn status cold, median ms of 30', median(status).toFixed(1)], ['node -e 0, median ms of 30', median(node).toFixed(1)], ['ratio', ratio.toFixed(2)],
    ];
    return { title: `idle with ${count} releases; limits: runner ${limits.runner} MB, control server ${limits.server} MB, ready ${limits.readyMs} ms, status ${limits.ratio} times node -e 0`, tables: [{ columns: ['', ''], rows }], missed };
  } finally {
    for (const end of ends) await end();
    await remove?.();
  }
}

async function startUp(cwd: string, env: Record<string, string>): Promise<{ stop(): Promise<void> }> {
  const child = spawn(process.execPath, [cairn, 'up'], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more).includes('ready in') && resolve());
    child.once('exit', (code) => reject(new Error(`cairn up ended with ${code}`)));
  });
  return {
    stop: async () => {
      if (child.exitCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      await exit;
    },
  };
}

/** MB of the process of this home whose command names `file`. */
async function residentOf(home: string, file: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((one) => /^\d+$/.test(one))) {
    const [environ = '', command = '', status = ''] = await Promise.all(['environ', 'cmdline', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')));
    const named = command.includes(file) || (file === 'main/cairn.ts' && command.includes('bin/cairn.js') && command.includes('\0up'));
    if (environ.includes(`CAIRN_HOME=${home}\0`) && named) return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
  }
  return Number.NaN;
}

async function timed(parameters: string[], cwd: string, env: Record<string, string>): Promise<number> {
  const start = performance.now();
  await run(process.execPath, parameters, { cwd, env });
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
