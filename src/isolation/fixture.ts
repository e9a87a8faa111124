import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { openIsolation, type Confined, type Isolation, type Limits } from '#isolation';

export const none: Limits = { memoryMb: null, cpus: null };
export const path = { PATH: '/usr/bin:/bin' };

export async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-isolation-'));
  await chmod(folder, 0o755);
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

export async function opened(t: TestContext): Promise<{ folder: string; isolation: Isolation }> {
  const folder = await temporary(t);
  return { folder, isolation: await openIsolation({ folder: join(folder, 'isolation') }) };
}

export interface Ran {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function start(confined: Confined, [program = '', ...args]: string[], variables: Record<string, string> = path, cwd = '/'): ChildProcess {
  const command = confined.command(program, args, variables);
  return spawn(command.file, command.args, { env: command.env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
}

export async function run(confined: Confined, command: string[], variables?: Record<string, string>, cwd?: string): Promise<Ran> {
  const child = start(confined, command, variables, cwd);
  const [stdout, stderr, [code, signal]] = await Promise.all([text(child.stdout as never), text(child.stderr as never), once(child, 'exit')]);
  return { code, signal, stdout, stderr };
}

export const node = (script: string): string[] => [process.execPath, '-e', script];
