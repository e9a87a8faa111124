import { join } from 'node:path';
import type { Clock, Faults } from '#core';

// The one place that reads the clock, the environment and chance.

// Got and not imported: an import makes every name of the module, and some load much that is never used.
const { readFileSync } = process.getBuiltinModule('node:fs');

export const systemClock: Clock = { now: () => new Date(), elapsed: () => performance.now() };

export const version = (JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string }).version;

/** `linux/amd64`, as OCI writes it. */
export function platform(): string {
  const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as 'x64'] ?? process.arch;
  return `${process.platform}/${architecture}`;
}

/** Root's is where the applications' users can get to. */
export function homeDirectory(environment: NodeJS.ProcessEnv): string {
  return environment['CAIRN_HOME'] ?? (process.getuid?.() === 0 ? '/var/lib/cairn' : join(environment['HOME'] ?? '/', '.cairn'));
}

/** With CAIRN_FAULT_AT=N the process kills itself at the Nth point, as a power cut would: the tests' crash at every write. */
export function faultsFrom(environment: NodeJS.ProcessEnv): Faults {
  const at = Number(environment['CAIRN_FAULT_AT'] ?? 0);
  if (!(at > 0)) return { point: () => {} };
  let passed = 0;
  return {
    point: () => {
      passed++;
      if (passed === at) process.kill(process.pid, 'SIGKILL');
    },
  };
}
