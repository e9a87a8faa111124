import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf, fixedClock } from '#core';
import { readLogs, type LogLine, type ReadOptions } from '#targets';
import { clock } from './fixture.ts';
import { LogLines } from './log-lines.ts';

const origin = { application: 'shop', environment: 'production', component: 'web', release: digestOf('r'), content: digestOf('c'), pid: 7 };

async function logPath(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-logs-'));
  t.after(() => rm(folder, { recursive: true }));
  return join(folder, 'web.jsonl');
}

async function write(path: string, lines: readonly string[], options: { kept?: number; bytes?: number; at?: string } = {}): Promise<void> {
  const log = new LogLines(path, options.at === undefined ? clock : fixedClock(options.at), { bytes: options.bytes ?? 1 << 20, kept: options.kept ?? 4 });
  await log.follow('stdout', Readable.from(lines.map((line) => Buffer.from(`${line}\n`))), origin);
  await log.close();
}

async function read(path: string, options?: ReadOptions): Promise<string[]> {
  const lines: string[] = [];
  for await (const { line } of readLogs(path, options)) lines.push(line);
  return lines;
}

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `line ${from + i}`);

test('a log is set aside when it is large, the oldest goes, and what is kept reads as one', async (t) => {
  const path = await logPath(t);
  await write(path, numbers(0, 100), { bytes: 4_000, kept: 3 });
  assert.deepEqual((await readdir(join(path, '..'))).toSorted(), ['web.jsonl', 'web.jsonl.1', 'web.jsonl.2', 'web.jsonl.3']);
  assert.ok((await stat(`${path}.3`)).size >= 4_000 && (await stat(`${path}.3`)).size < 5_000);
  const kept = await read(path);
  assert.ok(kept.length > 30 && kept.length < 100);
  assert.deepEqual(kept, numbers(100 - kept.length, 100));
});

test('several instances append to one log, and none of their lines is lost or torn', async (t) => {
  const path = await logPath(t);
  const long = (i: number): string[] => Array.from({ length: 100 }, (_, j) => `${i}:${j} ${'x'.repeat(200)}`);
  await Promise.all([0, 1, 2, 3].map((i) => write(path, long(i), { bytes: 50_000, kept: 9 })));
  const lines = await read(path);
  assert.deepEqual(lines.toSorted(), [0, 1, 2, 3].flatMap(long).toSorted());
  for (const i of [0, 1, 2, 3]) assert.deepEqual(lines.filter((line) => line.startsWith(`${i}:`)), long(i));
});

test('the last lines are read, over several files, and those since a time', async (t) => {
  const path = await logPath(t);
  assert.deepEqual(await read(path), []);
  await write(path, numbers(0, 50), { bytes: 4_000, at: '2026-01-01T00:00:00Z' });
  await write(path, numbers(50, 60), { at: '2026-01-02T00:00:00Z' });
  assert.deepEqual(await read(path, { tail: 5 }), numbers(55, 60));
  assert.deepEqual(await read(path, { tail: 40 }), numbers(20, 60));
  assert.deepEqual(await read(path, { tail: 0 }), []);
  assert.deepEqual(await read(path, { tail: 1_000 }), numbers(0, 60));
  assert.deepEqual(await read(path, { since: new Date('2026-01-01T12:00:00Z') }), numbers(50, 60));
  const [first] = await Array.fromAsync(readLogs(path, { tail: 1 }));
  assert.deepEqual(first, { time: '2026-01-02T00:00:00.000Z', stream: 'stdout', ...origin, line: 'line 59' } satisfies LogLine);
});

test('whoever follows gets what was there, what comes, and misses nothing when the log is set aside', async (t) => {
  const path = await logPath(t);
  await write(path, numbers(0, 10), { bytes: 2_000 });
  const stop = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const { line } of readLogs(path, { tail: 3, follow: true, signal: stop.signal })) seen.push(line);
  })();
  const until = async (count: number): Promise<void> => {
    while (seen.length < count) await sleep(5);
  };
  await until(3);
  for (let i = 10; i < 100; i++) {
    await write(path, [`line ${i}`], { bytes: 2_000 });
    // What is written faster than it is read is set aside, and in the end removed.
    if (i % 10 === 9) await until(i - 6);
  }
  // Set aside twice between two looks.
  await rename(`${path}.1`, `${path}.3`);
  await rename(path, `${path}.2`);
  await write(path, ['line 100'], { bytes: 1 });
  await write(path, ['line 101'], { bytes: 1 });
  await until(95);
  stop.abort();
  await following;
  assert.deepEqual(seen, numbers(7, 102));
});

test('one may follow a log that is not there yet', async (t) => {
  const path = await logPath(t);
  const following = readLogs(path, { follow: true });
  const first = following.next();
  await sleep(20);
  await write(path, ['line 0']);
  assert.equal((await first).value?.line, 'line 0');
  await following.return(undefined);
});

test('a line that was broken off costs no other', async (t) => {
  const path = await logPath(t);
  await write(path, ['line 0']);
  await appendFile(path, '{"time":"2026-');
  await write(path, ['line 1']);
  await appendFile(path, 'null\n[]\n{"time":1}\n');
  await write(path, ['line 2']);
  assert.deepEqual(await read(path), numbers(0, 3));
  await writeFile(path, '{"half');
  assert.deepEqual(await read(path), []);
});
