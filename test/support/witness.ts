import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Policy } from '#policy';
import { ownKey } from '#witness';
import { freePorts, start, top, type Started } from './machine.ts';

// A witness as a person runs it: `cairn witness`, in a folder and at a port of its own.

export interface RunningWitness {
  readonly name: string;
  readonly home: string;
  readonly port: number;
  readonly url: string;
  readonly vkey: string;
  /** As a policy names it. */
  readonly entry: NonNullable<Policy['witnesses']>[number];
  /** Starts it, with what is to be witnessed from now on. `faultAt`: it kills itself at that point. */
  up(options?: { logs?: readonly string[]; faultAt?: number }): Promise<Started>;
  down(signal?: NodeJS.Signals): Promise<void>;
  /** Resolves when it has ended by itself. */
  ended(): Promise<void>;
}

/** Makes its key by a first start, and leaves it stopped. */
export async function witnessFor(t: TestContext, name: string): Promise<RunningWitness> {
  const folder = await mkdtemp('/tmp/cairn-v-');
  const home = join(folder, 'witness');
  const port = await freePorts(1);
  let running: Started | undefined;
  const up: RunningWitness['up'] = async ({ logs = [], faultAt } = {}) => {
    const env = { ...(process.env as Record<string, string>), CAIRN_HOME: join(folder, 'home'), NODE_COMPILE_CACHE: '/tmp/cairn-test-compiled', ...(faultAt !== undefined && { CAIRN_FAULT_AT: String(faultAt) }) };
    running = await start([join(top, 'bin/cairn.js'), 'witness', '--home', home, '--name', name, '--port', String(port), ...logs.flatMap((log) => ['--log', log])], 'ready', { cwd: folder, env });
    return running;
  };
  const down: RunningWitness['down'] = async (signal = 'SIGTERM') => {
    running?.child.kill(signal);
    await running?.ended;
    running = undefined;
  };
  t.after(async () => {
    await down();
    await rm(folder, { recursive: true, force: true });
  });
  await up();
  await down();
  const key = await ownKey(home, name, () => '');
  const url = `http://127.0.0.1:${port}`;
  return { name, home, port, url, vkey: key.vkey, entry: { name: name.split('.')[0] ?? name, key: key.vkey, url }, up, down, ended: async () => running?.ended };
}
