import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { node, top } from '../support/machine.ts';
import { pathOf } from '../peers/tools.ts';
import { openWorld } from '../peers/world.ts';
import type { Report } from './bench.ts';

// `cairn verify` as a script runs it, a process each time, beside `cosign verify` of the same release on the same registry, turn by turn. The
// two do not do the same: cosign checks signature, log proof and manifest; Cairn these of every statement, the log against what was seen
// before, and the bytes of every layer, a whole runtime of Node among them.

const most = 2.5;

export async function verifyCold(count: number, say: (line: string) => void): Promise<Report> {
  await promisify(execFile)(node, [join(top, 'bin/build.ts')], { cwd: top });
  say('a release in staging');
  const world = await openWorld();
  try {
    const env = { ...process.env, CAIRN_HOME: join(world.scratch, 'home'), CAIRN_USER: 'ada' };
    const commands: Readonly<Record<string, readonly [string, ...string[]]>> = {
      'cairn verify': [node, join(top, 'bin/cairn.js'), 'verify', world.release],
      'cosign verify': [pathOf('cosign'), 'verify', '--key', world.keys('ada'), '--trusted-root', join(world.log, 'trusted_root.json'), `${world.ours}/hello@${world.release}`],
      'node, doing nothing': [node, '-e', '0'],
    };
    const times = new Map<string, number[]>();
    // What is compiled once is kept by the first of them.
    for (let at = -3; at < count; at++) {
      for (const [name, [file, ...parameters]] of Object.entries(commands)) {
        const milliseconds = await timed(file, parameters, join(world.scratch, 'app'), env);
        if (at >= 0) times.set(name, [...(times.get(name) ?? []), milliseconds]);
      }
    }
    const median = (name: string) => quantile(times.get(name) ?? [], 0.5);
    const ratio = median('cairn verify') / median('cosign verify');
    const rows = [...times].map(([name, all]) => [name, `${quantile(all, 0.5).toFixed(0)} ms`, `${quantile(all, 0).toFixed(0)} ms`, `${quantile(all, 0.9).toFixed(0)} ms`, `${(quantile(all, 0.5) / median('cosign verify')).toFixed(2)}`]);
    return {
      title: `cairn verify, cold: ${ratio.toFixed(2)} times cosign verify, at most ${most} wanted`,
      tables: [{ columns: [`${count} times in turn`, 'median', 'best', 'p90', 'of cosign'], rows }],
      figures: [{ what: '`cairn verify`, cold, beside `cosign verify` in the same run', target: `<= ${most} times`, figure: `${ratio.toFixed(2)} times (${median('cairn verify').toFixed(0)} ms and ${median('cosign verify').toFixed(0)} ms)`, met: ratio <= most }],
      missed: ratio <= most ? [] : [`cairn verify takes ${ratio.toFixed(2)} times cosign verify, more than ${most}`],
    };
  } finally {
    await world.close();
  }
}

function timed(file: string, parameters: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<number> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(file, parameters, { cwd, env, stdio: 'ignore' });
    child.once('error', reject).once('exit', (code) => (code === 0 ? resolve(performance.now() - start) : reject(new Error(`${file} ${parameters.join(' ')} ended with ${code}`))));
  });
}

function quantile(all: readonly number[], part: number): number {
  return all.toSorted((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * part))] ?? Number.NaN;
}
