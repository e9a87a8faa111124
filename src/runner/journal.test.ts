import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { canonicalJson, digestOf } from '#core';
import { Journal, type NewEntry } from './journal.ts';
import type { JournalEntry } from './journal-entry.ts';

async function path(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-journal-'));
  t.after(() => rm(folder, { recursive: true }));
  return join(folder, 'runner', 'journal.jsonl');
}

function retired(number: number): NewEntry {
  return { kind: 'retired', application: 'shop', environment: 'production', content: digestOf(`${number}`), at: '2026-01-01T00:00:00.000Z' };
}

async function written(file: string, entries: number): Promise<void> {
  const journal = await Journal.open(file, () => {});
  await Promise.all(Array.from({ length: entries }, (_, number) => journal.append(retired(number))));
  await journal.close();
}

/** The lines, without the zeros that are reserved behind them. */
async function linesOf(file: string): Promise<Buffer> {
  const bytes = await readFile(file);
  const end = bytes.lastIndexOf(10) + 1;
  assert.ok(bytes.subarray(end).every((byte) => byte === 0), 'behind the last line stand zeros');
  return bytes.subarray(0, end);
}

async function reopened(file: string): Promise<{ journal: Journal; seen: JournalEntry[] }> {
  const seen: JournalEntry[] = [];
  return { journal: await Journal.open(file, (entry) => void seen.push(entry)), seen };
}

test('entries are numbered, chained by the digest of the line before, and read by number', async (t) => {
  const file = await path(t);
  await written(file, 3);
  const lines = (await linesOf(file)).toString('utf8').trimEnd().split('\n');
  const entries = lines.map((line) => JSON.parse(line) as JournalEntry);
  assert.deepEqual(entries.map(({ sequence }) => sequence), [1, 2, 3]);
  assert.equal(entries[0]?.previous, `sha256:${'0'.repeat(64)}`);
  assert.equal(entries[2]?.previous, digestOf(lines[1] as string));
  assert.equal(canonicalJson(entries[1]).toString(), lines[1]);

  const { journal, seen } = await reopened(file);
  assert.deepEqual(seen, entries);
  const fourth = await journal.append(retired(4));
  assert.equal(fourth.previous, digestOf(lines[2] as string));
  assert.deepEqual(await journal.read(2), [entries[2], fourth]);
  assert.deepEqual(await journal.read(4), []);
  assert.deepEqual(await journal.read(99), []);
  await journal.close();
});

test('a line that a crash tore, anywhere, was never acknowledged and is cut off', async (t) => {
  const file = await path(t);
  await written(file, 3);
  const whole = await linesOf(file);
  const second = whole.indexOf(10, whole.indexOf(10) + 1) + 1;
  for (const reserved of [Buffer.alloc(0), Buffer.alloc(10_000)]) {
    for (let end = second + 1; end < whole.length; end += 37) {
      await writeFile(file, Buffer.concat([whole.subarray(0, end), reserved]));
      const { journal, seen } = await reopened(file);
      assert.equal(seen.length, 2, `cut at ${end}`);
      await journal.append(retired(2));
      await journal.close();
      assert.ok((await linesOf(file)).equals(whole), 'the next entry stands where the torn one stood');
    }
  }
  // Pages reach the disk in any order: the end of a line may be there and its beginning not.
  await writeFile(file, Buffer.concat([whole.subarray(0, second), Buffer.alloc(50), Buffer.from('"}\n'), Buffer.alloc(99)]));
  const { journal, seen } = await reopened(file);
  assert.equal(seen.length, 2);
  await journal.close();
  assert.equal((await linesOf(file)).length, second);
});

test('damage before the last line is named, and nothing is cut off', async (t) => {
  const file = await path(t);
  await written(file, 4);
  const text = (await linesOf(file)).toString('utf8');
  const lines = text.trimEnd().split('\n');
  const changed: [RegExp, string[]][] = [
    [/line 2 .*is no entry/, lines.with(1, 'garbage')],
    [/line 2 .*was changed/, lines.with(1, (lines[1] as string).replace('production', 'projection'))],
    [/line 3 .*was changed/, lines.with(2, (lines[2] as string).replace('production', 'projection'))],
    [/line 1 .*was changed/, lines.slice(1)],
  ];
  for (const [message, damaged] of changed) {
    await writeFile(file, `${damaged.join('\n')}\n${'\0'.repeat(500)}`);
    const before = await readFile(file, 'utf8');
    await assert.rejects(reopened(file), { code: 'storage', message });
    assert.equal(await readFile(file, 'utf8'), before);
  }
});

test('a journal closed under a write refuses it', async (t) => {
  const file = await path(t);
  const { journal } = await reopened(file);
  await journal.close();
  await assert.rejects(journal.append(retired(1)), { code: 'storage' });
  assert.equal((await linesOf(file)).length, 0);
});

test('lines of before there was room reserved, and of before what they may say now, still load', async (t) => {
  const file = await path(t);
  await mkdir(join(file, '..'));
  const common = { application: 'shop', environment: 'production', operation: 'first', release: digestOf('r'), at: '2026-01-01T00:00:00.000Z' };
  const prepared = canonicalJson({ ...common, kind: 'prepared', content: digestOf('c'), healthy: 1, milliseconds: 2.5, previous: `sha256:${'0'.repeat(64)}`, sequence: 1 });
  const switched = { ...common, kind: 'switched', from: null, to: digestOf('c'), revision: 1, milliseconds: 1, restores: null, reason: null, by: null };
  await writeFile(file, Buffer.concat([prepared, Buffer.from('\n'), canonicalJson({ ...switched, previous: digestOf(prepared), sequence: 2 }), Buffer.from('\n')]));
  const { journal, seen } = await reopened(file);
  assert.deepEqual(seen.map(({ kind }) => kind), ['prepared', 'switched']);
  await journal.append(retired(1));
  await journal.close();
});

test('a full disk does not keep entries from being written, until what was reserved is used up; room brings it back', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-full-'));
  const run = promisify(execFile);
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'cairn-journal', folder]).then(() => true, () => false);
  if (!mounted) return t.skip('a file system of its own can only be mounted as root');
  t.after(async () => {
    await run('umount', [folder]);
    await rm(folder, { recursive: true });
  });
  const file = join(folder, 'journal.jsonl');
  const { journal } = await reopened(file);
  const ballast = join(folder, 'ballast');
  await assert.rejects(writeFile(ballast, Buffer.alloc(2 << 20)), { code: 'ENOSPC' });
  let written = 0;
  let refused: unknown;
  while (refused === undefined) await journal.append(retired(++written)).catch((error: unknown) => (refused = error));
  written--;
  assert.equal((refused as { code: string }).code, 'storage-full');
  t.diagnostic(`${written} entries with the disk full`);
  assert.ok(written > 200);
  await rm(ballast);
  await journal.append(retired(++written));
  await journal.close();
  assert.equal((await reopened(file).then(async ({ journal: again, seen }) => {
    await again.close();
    return seen;
  })).length, written);
  assert.ok((await stat(file)).size - (await linesOf(file)).length > 60_000, 'reserved again');
});
