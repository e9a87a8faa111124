import { spawn } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError } from '#core';
import type { Confined } from '#isolation';
import { endStrays, kill } from './strays.ts';
import { interrupted } from './workspace.ts';

export interface StageRun {
  readonly name: string;
  readonly run: string;
  readonly directory: string;
  /** All that the stage sees. */
  readonly environment: Readonly<Record<string, string>>;
  readonly confined: Confined;
  readonly signal: AbortSignal;
  line(text: string): void;
}

/**
 * Runs a stage to its end, in a process group of its own that is killed afterwards: what a stage leaves running must not see
 * the signing that follows. @throws CairnError `stage-failed` with its last lines, `storage-full`
 */
export async function runStage(stage: StageRun): Promise<void> {
  const { confined, directory, signal } = stage;
  if (signal.aborted) throw interrupted();
  const { file, args, env } = confined.command('/bin/sh', ['-c', 'umask 022; exec /bin/sh -e -c "$0"', stage.run], stage.environment);
  const child = spawn(file, [...args], { cwd: directory, env: { ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = () => child.pid !== undefined && kill(-child.pid);
  signal.addEventListener('abort', stop, { once: true });
  const lines: string[] = [];
  const follow = async (stream: NodeJS.ReadableStream) => {
    for await (const text of createInterface({ input: stream })) {
      const line = text.slice(0, 2000);
      lines.push(line);
      if (lines.length > 20) lines.shift();
      stage.line(line);
    }
  };
  const output = Promise.all([follow(child.stdout), follow(child.stderr)]);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    stop();
    const tooMuch = (await confined.memoryKills()) > 0;
    // Ends whatever is left in the kernel's group, where there is one: nobody leaves that.
    await confined.close();
    await endStrays(stage.environment['HOME'] ?? '');
    // Who escaped both may still hold the other end.
    await Promise.race([output, sleep(2000, undefined, { ref: false })]);
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
    if (signal.aborted) throw interrupted();
    if (code !== 0) throw await failure(stage, { code, tooMuch, lines });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function failure(
  { name, run, directory, confined }: StageRun,
  { code, tooMuch, lines }: { code: number | null; tooMuch: boolean; lines: readonly string[] },
): Promise<CairnError> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize < 1 << 20 && lines.some((line) => /no space left|ENOSPC/i.test(line))) {
    return new CairnError('storage-full', `stage ${name} found the disk of ${directory} full; nothing was published`, {
      context: { lines },
      fix: `Free space in ${directory}`,
    });
  }
  if (tooMuch) {
    const { memoryMb } = confined.limits;
    return new CairnError('stage-failed', `stage ${name} wanted more than its ${memoryMb} MiB of memory; nothing was published`, {
      context: { lines },
      fix: 'Raise limits: { memoryMb: ... } in cairn.yaml',
    });
  }
  const how = code === null ? 'was killed' : `ended with ${code}`;
  return new CairnError('stage-failed', `stage ${name} ${how}; nothing was published`, {
    context: { lines: [...lines] },
    fix: `Run "${run}" in a clean clone of the commit`,
  });
}
