import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const folders = [process.env['TOOLS'] ?? join(homedir(), '.cache/cairn-tools/bin'), ...(process.env['PATH'] ?? '').split(delimiter)];

function find(tool: string): string | undefined {
  return folders.map((folder) => join(folder, tool)).find((path) => existsSync(path));
}

/** Why these tests cannot run here; false where they can. In CI nothing is skipped: there a missing tool is a failure. */
export function skipWithout(...tools: readonly string[]): string | false {
  const missing = tools.filter((tool) => find(tool) === undefined);
  if (missing.length === 0) return false;
  if (process.env['CAIRN_PEERS'] === 'required') throw new Error(`missing tools: ${missing.join(', ')}`);
  return `not installed: ${missing.join(', ')} (see .ci/install)`;
}

export function pathOf(tool: string): string {
  return find(tool) ?? tool;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs an outside tool with no network settings of ours and a limit in time: some hang on damage. */
export async function outside(tool: string, ...parameters: readonly string[]): Promise<Ran> {
  const env = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/tmp' };
  return promisify(execFile)(pathOf(tool), [...parameters], { env, timeout: 60_000, maxBuffer: 64 << 20 }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code?: number | string; stdout?: string; stderr?: string }) => ({ code: typeof error.code === 'number' ? error.code : 124, stdout: error.stdout ?? '', stderr: error.stderr ?? '' }),
  );
}
