import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { digestOf, type Clock } from '#core';
import { unconfined } from '#isolation';
import type { Program } from './program.ts';

export const clock: Clock = { now: () => new Date(), elapsed: () => performance.now() };

/** For tests: a content of one script, which another user may read, and how to run it. */
export async function prepared(t: TestContext, script: string): Promise<Program> {
  const directory = await mkdtemp(join(tmpdir(), 'cairn-targets-'));
  t.after(() => rm(directory, { recursive: true }));
  await chmod(directory, 0o755);
  await mkdir(join(directory, 'app'));
  await writeFile(join(directory, 'app', 'main.mjs'), script);
  return {
    directory,
    command: [process.execPath, 'main.mjs'],
    variables: { GREETING: 'hello' },
    confined: unconfined,
    home: directory,
    runtime: null,
    place: { application: 'shop', environment: 'production', component: 'web' },
    logFile: join(directory, 'log.jsonl'),
    release: digestOf('release'),
    content: digestOf('content'),
    clock,
  };
}
