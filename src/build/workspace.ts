import { chmod, lstat, mkdir } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError } from '#core';
import { privateFolder } from './private-folder.ts';
import { removeTree } from './remove-tree.ts';
import { endStrays } from './strays.ts';

export interface WorkspaceOptions {
  readonly application: string;
  readonly waitMs: number;
  readonly signal: AbortSignal;
  /** Called once where somebody else has it. */
  waiting(): void;
}

/**
 * Lends the one folder in which an application is built. Its path is the same for every user, clone and machine, since tools
 * write absolute paths into what they make. Builds of one user wait for each other at a lock that the kernel gives back however its
 * holder ends; so a folder of ours that is met under the lock is a dead build's, and no process number is ever judged. A folder of
 * somebody else is waited for, never entered.
 */
export async function withWorkspace<T>(options: WorkspaceOptions, work: (directory: string) => Promise<T>): Promise<T> {
  const directory = `/tmp/cairn-build-${options.application}`;
  const deadline = { left: options.waitMs };
  const release = await wait(options, deadline, directory, () => lock(options.application));
  try {
    await wait(options, deadline, directory, async () => ((await claim(directory)) ? true : undefined));
    try {
      return await work(directory);
    } finally {
      await endStrays(join(directory, 'home'));
      await removeTree(directory);
    }
  } finally {
    release();
  }
}

async function wait<T>({ signal, waitMs, waiting }: WorkspaceOptions, deadline: { left: number }, directory: string, attempt: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const got = await attempt();
    if (got !== undefined) return got;
    if (signal.aborted) throw interrupted();
    if (deadline.left <= 0)
      throw new CairnError('build-busy', `another build holds ${directory}`, { fix: 'Wait for it, or remove the folder if nobody builds', retryable: true });
    if (deadline.left === waitMs) waiting();
    deadline.left -= 200;
    await sleep(200);
  }
}

export function interrupted(): CairnError {
  return new CairnError('stage-failed', 'the build was interrupted; nothing was published', { fix: 'cairn release', retryable: true });
}

/** SQLite has the file lock that Node lacks. Undefined where another build of this user holds it. */
async function lock(application: string): Promise<(() => void) | undefined> {
  const uid = process.getuid?.() ?? 0;
  const folder = await privateFolder(uid);
  if (folder === undefined)
    throw new CairnError('build-busy', `/tmp/cairn-${uid} belongs to somebody else, or others may enter it`, { fix: `Remove /tmp/cairn-${uid}` });
  const database = new DatabaseSync(join(folder, `${application}.lock`), { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if (!/locked|busy/.test((cause as Error).message)) throw cause;
    return undefined;
  }
  return () => database.close();
}

/** Made exclusively, with rights for nobody but us and, to pass through, the group of the stages' user. */
async function claim(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const found = await lstat(directory).catch(() => undefined);
  if (found === undefined || found.uid !== process.getuid?.()) return false;
  // Stages of the dead build may have outlived it; they must not see the next one.
  await endStrays(join(directory, 'home'));
  if (found.isDirectory()) await chmod(directory, 0o700);
  await removeTree(directory);
  return false;
}
