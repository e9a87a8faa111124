import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import { digestOf, type Clock } from '#core';
import { unconfined } from '#isolation';
import { removeFinished } from './finished-folder.ts';
import type { Program } from './program.ts';
import { unpackLayer } from './unpack.ts';

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

export type Item = Partial<Header> & { name: string; body?: string };

export async function layer(...items: Item[]): Promise<Buffer> {
  const archive = pack();
  const bytes = buffer(archive as unknown as AsyncIterable<Uint8Array>);
  for (const { body = '', ...header } of items) archive.entry({ mode: 0o644, ...header }, body);
  archive.finalize();
  return gzipSync(await bytes);
}

export async function* streamOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += 1000) yield bytes.subarray(i, i + 1000);
}

/** For what is unpacked into it. */
export async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cairn-unpack-'));
  t.after(() => removeFinished(path));
  return path;
}

export async function unpackTo(directory: string, ...items: Item[]): Promise<void> {
  const bytes = await layer(...items);
  await unpackLayer(streamOf(bytes), digestOf(bytes), directory);
}
