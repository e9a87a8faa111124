import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { asCairnError, CairnError, digestOf } from '#core';
import { openHome, type Home } from '#home';
import { copyLedger, openReader } from '#ledger';
import { readCheckpoint } from '#log';
import { verifierOf } from '#verify';
import { ArchiveWriter } from './archive-write.ts';
import type { Context } from './context.ts';
import { count, row, run, size, type CommonFlags } from './output.ts';
import { trustOf } from './trust.ts';

/**
 * A backup is of one point of the log, taken while everything runs. No lock is held; the order makes it whole:
 *
 * 1. what this machine remembers of the log (`known/`), so that it never remembers more than the ledger that comes after it;
 * 2. the runner's journal, the ledger (SQLite's own online copy: one instant), launches and plans, and the journal again. If a line came
 *    meanwhile, again from the start: then no line of the journal and no launch is older or newer than the ledger could explain. A ledger
 *    newer than its journal would take switches for done that the runner knows nothing of; a journal newer than its ledger is what the
 *    server finds after any crash, and is ended by it;
 * 3. all the rest, which is only ever added to: so it holds all that the ledger names, and perhaps more. Of the registry the names
 *    (manifests, tags, referrers) before the blobs, since a blob is there before a name leads to it.
 *
 * Left out is what is made again from this: unpacked contents, what builds keep, running instances, logs, half-written files. So is the
 * note on what was attached already (`attached`), which could be newer than the ledger.
 */
export async function backup(this: Context, flags: CommonFlags & { readonly data: boolean }, file: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const home = await openHome(system.home);
    const trust = await trustOf({ ...system, directory: '/nonexistent' }, home);
    const path = resolve(system.directory, file);
    const scratch = await mkdtemp(join(home.paths.root, '.backup-'));
    const archive = await ArchiveWriter.create(path).catch(async (error: unknown) => {
      await rm(scratch, { recursive: true });
      throw error;
    });
    try {
      await putFolder(archive, home, 'known');
      const { lines, point } = await putPoint(archive, home, scratch);
      for (const name of (await readdir(home.paths.root)).toSorted()) if (!elsewhere.has(name) && !name.startsWith('.')) await put(archive, home, name);
      await putRunner(archive, home);
      await putFolder(archive, home, 'registry/repositories');
      await putFolder(archive, home, 'registry/content/blobs');
      if (flags.data) await putData(archive, home, join(scratch, 'file'), 'data');
      const checkpoint = point === undefined ? undefined : readCheckpoint(point.note, verifierOf(trust));
      const about = {
        kind: 'cairn-backup', version: 1, cairn: system.version, origin: home.settings.origin, home: home.paths.root, created: system.clock.now().toISOString(), data: flags.data,
        log: { size: checkpoint?.size ?? 0, root: checkpoint?.root.toString('hex') ?? null }, journal: lines,
      };
      const files = archive.entries.length;
      const bytes = await archive.finish(about);
      if (!flags.json) {
        row(this, 'backed up', path, size(bytes), count(files, 'file'));
        row(this, 'point', count(about.log.size, 'log entry', 'log entries'), about.log.root === null ? '' : `checkpoint ${about.log.root.slice(0, 12)}`, flags.data ? 'with data folders, as they were while applications wrote' : 'without data folders: --data takes them along');
        row(this, 'holds', 'the keys of the server and its people, and sealed secrets: keep it as you keep those');
        row(this, 'next', `cairn restore ${file} --home FOLDER`, 'try it before you need it');
      }
      return { file: path, bytes, files, ...about };
    } catch (error) {
      await archive.abandon();
      throw outOfRoom(error);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

/** Taken apart from the others, or not at all. */
const elsewhere: ReadonlySet<string> = new Set(['known', 'ledger.sqlite', 'ledger.sqlite-wal', 'ledger.sqlite-shm', 'registry', 'runner', 'runner.sock', 'unpacked', 'builds', 'data', 'attached']);
const runnerElsewhere: ReadonlySet<string> = new Set(['journal.jsonl', 'launch', 'plans', 'instances', 'logs', 'lock']);
/** What a write that is under way is called. */
const half = /\.tmp-(?:\d+-)?[0-9a-f]{12}$|^\.new-|^\.claim-/;
const mostTries = 100;

/** Step 2: one point of log and journal. */
async function putPoint(archive: ArchiveWriter, home: Home, scratch: string): Promise<{ lines: number; point: { size: number; note: string } | undefined }> {
  const { paths } = home;
  const journalPath = join(paths.runner, 'journal.jsonl');
  const ledger = join(scratch, 'ledger.sqlite');
  for (let tries = 0; tries < mostTries; tries++) {
    const before = await journalOf(journalPath);
    await rm(ledger, { force: true });
    await copyLedger(paths.ledger, ledger);
    const kept = [...(await read(paths.runner, 'launch')), ...(await read(paths.runner, 'plans'))];
    if (digestOf(await journalOf(journalPath)) !== digestOf(before)) continue;
    await archive.file('ledger.sqlite', ledger);
    if (before.byteLength > 0) await archive.bytes('runner/journal.jsonl', before, 0o600);
    for (const { name, bytes } of kept) await archive.bytes(`runner/${name}`, bytes, 0o600);
    const reader = await openReader(ledger);
    const point = (await reader.checkpoints()).at(-1);
    await reader.close();
    return { lines: before.toString('utf8').split('\n').length - 1, point };
  }
  throw new CairnError('conflict', 'releases move so fast that log and journal never stood still for one copy; nothing was backed up', { fix: 'Ask again when fewer promotions are under way', retryable: true });
}

/** The whole lines, without the room that is reserved behind them. */
async function journalOf(path: string): Promise<Buffer> {
  const bytes = await readFile(path).catch(ifAbsent(Buffer.alloc(0)));
  const end = bytes.indexOf(0);
  const written = bytes.subarray(0, end < 0 ? bytes.byteLength : end);
  return written.subarray(0, written.lastIndexOf(10) + 1);
}

async function read(root: string, folder: string): Promise<{ name: string; bytes: Buffer }[]> {
  const found: { name: string; bytes: Buffer }[] = [];
  for (const name of (await readdir(join(root, folder)).catch(ifAbsent<string[]>([]))).toSorted()) {
    // One that is gone by now was retired: the journal tells, and all of this is read again.
    const bytes = half.test(name) ? undefined : await readFile(join(root, folder, name)).catch(ifAbsent(undefined));
    if (bytes !== undefined) found.push({ name: `${folder}/${name}`, bytes });
  }
  return found;
}

async function putRunner(archive: ArchiveWriter, home: Home): Promise<void> {
  for (const name of (await readdir(home.paths.runner).catch(ifAbsent<string[]>([]))).toSorted()) if (!runnerElsewhere.has(name)) await put(archive, home, `runner/${name}`);
}

async function put(archive: ArchiveWriter, home: Home, path: string): Promise<void> {
  const parent = join(home.paths.root, dirname(path));
  const entry = (await readdir(parent, { withFileTypes: true })).find(({ name }) => join(parent, name) === join(home.paths.root, path));
  if (entry === undefined || half.test(entry.name)) return;
  const source = join(home.paths.root, path);
  if (entry.isDirectory()) await putFolder(archive, home, path);
  else if (entry.isSymbolicLink()) await archive.link(path, source);
  else if (entry.isFile()) await archive.file(path, source).catch(ifAbsent(undefined));
}

async function putFolder(archive: ArchiveWriter, home: Home, path: string): Promise<void> {
  const source = join(home.paths.root, path);
  const entries = await readdir(source, { withFileTypes: true }).catch(ifAbsent(undefined));
  if (entries === undefined) return;
  await archive.folder(path, source);
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = `${path}/${entry.name}`;
    if (half.test(entry.name)) continue;
    if (entry.isDirectory()) await putFolder(archive, home, name);
    else if (entry.isSymbolicLink()) await archive.link(name, join(source, entry.name)).catch(ifAbsent(undefined));
    else if (entry.isFile()) await archive.file(name, join(source, entry.name)).catch(ifAbsent(undefined));
  }
}

/**
 * Data of applications, which write to it meanwhile and are not to be trusted: each file is copied first, so that its size stands
 * still, and only if it really lies in the data folder. One that put a link to our keys there would have them in the backup, and back
 * as its own.
 */
async function putData(archive: ArchiveWriter, home: Home, copy: string, path: string): Promise<void> {
  const source = join(home.paths.root, path);
  const entries = await readdir(source, { withFileTypes: true }).catch(ifAbsent(undefined));
  if (entries === undefined) return;
  await archive.folder(path, source, { owner: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = `${path}/${entry.name}`;
    if (entry.isDirectory()) await putData(archive, home, copy, name).catch(ifAbsent(undefined));
    else if (entry.isSymbolicLink()) await archive.link(name, join(source, entry.name), { owner: true }).catch(ifAbsent(undefined));
    else if (entry.isFile()) await archive.copied(name, join(source, entry.name), copy, home.paths.data);
  }
}

function ifAbsent<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === 'ENOENT') return value;
    throw error;
  };
}

function outOfRoom(thrown: unknown): CairnError {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new CairnError('storage-full', 'the disk is full: nothing was backed up', { cause: thrown, fix: 'Make room, or name a file on another disk' });
  return asCairnError(thrown);
}
