import { readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CairnError, exists, fsyncDirectory, isDigest } from '#core';
import { loadSealer, openHome, openToPass, type Home, type HomePaths } from '#home';
import { openReader } from '#ledger';
import { fileRepositories, fileStore } from '#oci';
import { embeddedRegistry } from '#server';
import { currentTrust, verifierOf } from '#verify';
import { readArchive } from './archive-read.ts';
import { auditLog, type Finding } from './audit-log.ts';
import { auditRegistry } from './audit-registry.ts';
import { auditSigners } from './audit-signers.ts';
import type { Context, System } from './context.ts';
import { ownTrust } from './trust.ts';
import { count, row, run, type CommonFlags } from './output.ts';

const hourMs = 3_600_000;

/**
 * Makes a home from a backup: beside its place, checked against the backup's manifest, then by itself (the log, its signatures, the
 * index, every release's blobs), and only then given its name. Whatever fails leaves nothing behind.
 */
export async function restore(this: Context, flags: CommonFlags & { readonly home?: string }, file: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const root = flags.home === undefined ? system.home : resolve(system.directory, flags.home);
    await refuseUsed(root);
    await removeAbandoned(system, root);
    const temporary = `${root}.restore-${system.random(6)}`;
    try {
      const { about, files } = await readArchive(resolve(system.directory, file), temporary, isOurs);
      const home = await openHome(temporary).catch((cause: unknown) => {
        throw new CairnError('backup-damaged', 'the backup holds no home that can be opened; nothing was restored', { cause, fix: 'Use another backup' });
      });
      const log = await requireSound(home);
      await openToPass(home.paths);
      const unpacked = await relocate(home, String(about['home']), root);
      await rmdir(root).catch(() => {});
      await rename(temporary, root).catch((cause: NodeJS.ErrnoException) => {
        throw new CairnError('conflict', `${root} came to be while it was restored; nothing was restored`, { cause, fix: 'Move it away, or name another with --home' });
      });
      await fsyncDirectory(dirname(root));
      if (!flags.json) {
        row(this, 'restored', root, count(files.length, 'file'), `backed up ${String(about['created'])}`);
        row(this, 'ok', 'log', `${count(log.entries, 'entry', 'entries')}, index folded again to the same`, `checkpoint ${log.root?.slice(0, 12) ?? 'none'}`);
        row(this, 'ok', 'releases', `all blobs there, ${count(unpacked, 'content')} unpacked again`);
        if (about['data'] !== true) row(this, '', 'without data folders: bring them back by their own backup');
        row(this, 'next', `${root === system.home ? '' : `CAIRN_HOME=${root} `}cairn up`, 'not while the home that it came from is up too');
      }
      return { home: root, files: files.length, created: about['created'], log, data: about['data'] === true, unpacked };
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  });
}

async function refuseUsed(root: string): Promise<void> {
  const names = await readdir(root).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new CairnError('usage', `${root} is no folder`, { cause: error, fix: 'Name another with --home' });
  });
  if (names.length > 0) throw new CairnError('conflict', `${root} is not empty; nothing was restored`, { fix: 'Move it away, or name another with --home' });
}

/** What a restore that was killed left half made. */
async function removeAbandoned({ clock }: System, root: string): Promise<void> {
  for (const name of await readdir(dirname(root)).catch(() => [])) {
    const path = join(dirname(root), name);
    if (!name.startsWith(`${basename(root)}.restore-`) || !/^[0-9a-f]{12}$/.test(name.slice(-12))) continue;
    if (clock.now().getTime() - (await stat(path)).mtimeMs > hourMs) await rm(path, { recursive: true, force: true });
  }
}

/** Nothing in a home is put where it is run from, or is a link, but what is an application's. */
function isOurs(path: string): boolean {
  return !['unpacked', 'builds', 'runner.sock', 'ledger.sqlite-wal', 'ledger.sqlite-shm'].some((name) => path === name || path.startsWith(`${name}/`));
}

/** @throws CairnError `backup-damaged`, with all findings */
async function requireSound(home: Home): Promise<{ entries: number; root: string | null }> {
  const { paths } = home;
  const findings: Finding[] = [];
  const report = (finding: Finding) => void findings.push(finding);
  const file = await ownTrust(home);
  const trust = currentTrust(file);
  const reader = await openReader(paths.ledger);
  try {
    const audited = await auditLog(reader, verifierOf(trust), trust.keys, report);
    auditSigners(audited.statements, file.genesis, trust, report);
    const { same } = await reader.refold(trust.keys.record).catch(() => ({ same: false }));
    if (!same) report({ what: 'the index is not what the log says', fix: 'Use another backup' });
    await auditRegistry(paths.registry, await reader.revisions(), report);
    if (findings.length === 0) return { entries: audited.size, root: audited.newest?.root.toString('hex') ?? null };
  } finally {
    await reader.close();
  }
  throw new CairnError('backup-damaged', `what came out of the backup does not hold: ${findings[0]?.what ?? ''}; nothing was restored`, { fix: 'Use another backup', context: { findings } });
}

interface Launch {
  readonly application: string;
  readonly launch: { readonly components: readonly { readonly directory: string }[] };
}

/**
 * The runner starts what was live from its launches, which name folders by their whole path: those of the new home take the place of
 * the old one's, and are unpacked again, so that all runs without anybody being asked.
 */
async function relocate(home: Home, before: string, after: string): Promise<number> {
  const { paths } = home;
  const sealer = await loadSealer(paths.keys);
  const store = fileStore(join(paths.registry, 'content'));
  const registry = embeddedRegistry({ repositories: fileRepositories(join(paths.registry, 'repositories'), store), store, unpacked: paths.unpacked });
  const wanted = new Map<string, string>();
  for (const path of await launchesOf(paths)) {
    const text = sealer.open(await readFile(path)).toString('utf8');
    const { application, launch } = JSON.parse(text) as Launch;
    for (const { directory } of launch.components) wanted.set(`sha256:${basename(directory)}`, application);
    const moved = JSON.stringify(JSON.parse(text), (_, value: unknown) => (typeof value === 'string' ? value.replaceAll(`${before}/unpacked/`, `${after}/unpacked/`) : value));
    if (moved !== text) await writeFile(path, sealer.seal(Buffer.from(moved)), { mode: 0o600, flush: true });
  }
  for (const [component, application] of wanted) if (isDigest(component)) await registry.unpack(application, component);
  return wanted.size;
}

async function launchesOf({ runner }: HomePaths): Promise<string[]> {
  const folder = join(runner, 'launch');
  return (await exists(folder)) ? (await readdir(folder)).filter((name) => name.endsWith('.sealed')).map((name) => join(folder, name)) : [];
}
