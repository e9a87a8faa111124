import { join } from 'node:path';
import { ensureDurableDirectory } from '#core';
import { lockFolder } from './lock.ts';
import type { Runner, RunnerOptions } from './runner.ts';

/**
 * The lock first: a second runner is refused before it has touched anything. Only then is the rest of this room loaded, since who is
 * to run beside us waits for the lock, and the client's users never need it.
 * @throws CairnError `already-running`, `port-taken`, `storage`
 */
export async function startRunner(options: RunnerOptions): Promise<Runner> {
  await ensureDurableDirectory(options.directory, 0o700);
  const unlock = lockFolder(join(options.directory, 'lock'));
  try {
    options.locked?.();
    const { openRunner } = await import('./runner.ts');
    return await openRunner(options, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}
