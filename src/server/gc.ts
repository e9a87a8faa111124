import { randomBytes } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { lstat, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, exists, fsyncDirectory, isDigest, type Clock, type Digest } from '#core';
import type { OpenLedger } from '#ledger';
import { isIndex, parseManifest, type ContentStore, type Repositories } from '#oci';
import type { Registry, State } from '#release';
import { removeFinished, removeLeftovers } from '#targets';
import type { RunnerState } from './status.ts';

export interface GcOptions {
  readonly ledger: OpenLedger;
  readonly registry: Registry;
  readonly repositories: Repositories;
  /** The registry's. */
  readonly store: ContentStore;
  readonly runner: () => Promise<RunnerState>;
  readonly folders: { readonly unpacked: string; readonly builds: string; readonly registry: string; readonly root: string };
  readonly clock: Clock;
}

export interface GcItem {
  readonly kind: 'content' | 'layer' | 'build' | 'leftover';
  readonly path: string;
  /** What its removal gives back: files that something else has a name of count for nothing. */
  readonly bytes: number;
}

export interface GcAnswer {
  readonly dryRun: boolean;
  readonly items: readonly GcItem[];
  readonly bytes: number;
  /** Contents that something runs or may return to. */
  readonly kept: number;
}

/** Revisions in these states run, are about to, or can be returned to: what they are made of is never touched. */
const standing: ReadonlySet<State> = new Set<State>(['proposed', 'admitted', 'preparing', 'live', 'confirmed', 'standby', 'retained', 'reverted']);

const hourMs = 3_600_000;
/** A build that failed is perhaps tried again today. */
const buildMs = 24 * hourMs;

/**
 * Removes what nothing returns to: unpacked contents and layers of no standing revision, what builds left, what crashes left. Never a
 * blob of the registry. To be called with no timeline changing meanwhile; a first promotion of a new application may begin all the
 * same, so that the log is asked again for each content when its name is gone already and before its bytes are. A crash in between
 * leaves a folder with the name of a leftover, which the next round removes, and a content without a name, which is unpacked again.
 */
export async function collectGarbage(options: GcOptions, dryRun: boolean): Promise<GcAnswer> {
  const { folders, clock } = options;
  const size = await logSize(options);
  const kept = await keptOf(options);
  const found: Omit<GcItem, 'bytes'>[] = [];
  for (const [kind, folder] of [['content', 'contents'], ['layer', 'layers']] as const) {
    for (const name of await namesIn(join(folders.unpacked, folder))) {
      const digest = `sha256:${name}`;
      if (isDigest(digest) && !kept.has(digest)) found.push({ kind, path: join(folders.unpacked, folder, name) });
    }
  }
  const now = clock.now().getTime();
  for (const path of await oldBuilds(options, now)) found.push({ kind: 'build', path });
  for (const path of await leftovers(folders, now)) found.push({ kind: 'leftover', path });
  const sizes = await measure(found.map(({ path }) => path));
  const items: GcItem[] = [];
  for (const [at, item] of found.entries()) {
    // The log says whether anything can be wanted that was not wanted when we looked.
    const wanted = async (digest: Digest) => (await logSize(options)) !== size && (await keptOf(options)).has(digest);
    if (dryRun || (await remove(item, wanted))) items.push({ ...item, bytes: sizes[at] ?? 0 });
  }
  if (!dryRun) for (const folder of ['contents', 'layers']) await removeLeftovers(join(folders.unpacked, folder));
  return { dryRun, items, bytes: items.reduce((sum, { bytes }) => sum + bytes, 0), kept: kept.size };
}

async function logSize({ ledger }: GcOptions): Promise<number> {
  return (await ledger.checkpoint())?.size ?? 0;
}

/** Images and layers of every standing revision, and of all that the runner holds ready. One that cannot be read stops it all. */
async function keptOf({ ledger, registry, repositories, runner }: GcOptions): Promise<Set<Digest>> {
  const { timelines } = await runner();
  const revisions = (await ledger.timelines()).flatMap((one) => one.revisions);
  const releases = new Map<string, { application: string; release: Digest }>();
  for (const { state, application, release } of revisions) if (standing.has(state)) releases.set(`${application}@${release}`, { application, release });
  for (const { application, environment, live, former, ready, instances } of timelines) {
    for (const content of [live?.content, former?.content, ...ready, ...instances.map((one) => one.content)]) {
      if (content === undefined) continue;
      const revision = revisions.find((one) => one.content === content && one.application === application);
      if (revision === undefined) throw new CairnError('conflict', `the runner has a content ready in ${environment} that the log does not know yet; nothing was removed`, { fix: 'Ask again in a moment', retryable: true });
      releases.set(`${application}@${revision.release}`, { application, release: revision.release });
    }
  }
  const kept = new Set<Digest>();
  for (const { application, release } of releases.values()) {
    const { components } = await registry.document(application, release);
    for (const { digest } of components.flatMap((one) => one.platforms)) {
      kept.add(digest);
      const { bytes, mediaType } = await repositories.getManifest(application, digest);
      const manifest = parseManifest(bytes, mediaType);
      if (!isIndex(manifest)) for (const layer of manifest.layers) kept.add(layer.digest);
    }
  }
  return kept;
}

/** Of the build store, what the registry has by now and what was never pushed; the compressed runtimes stay, they take seconds to make. */
async function oldBuilds({ folders, store }: GcOptions, now: number): Promise<string[]> {
  const runtimes = new Set<string>();
  for (const name of (await namesIn(folders.builds)).filter((one) => /^runtime-[0-9a-f]{64}\.json$/.test(one))) {
    const { digest } = JSON.parse(await readFile(join(folders.builds, name), 'utf8')) as { digest?: string };
    if (digest !== undefined) runtimes.add(digest);
  }
  const found: string[] = [];
  const root = join(folders.builds, 'blobs', 'sha256');
  for (const folder of await namesIn(root)) {
    for (const name of await namesIn(join(root, folder))) {
      const digest = `sha256:${name}`;
      const path = join(root, folder, name);
      if (!isDigest(digest) || runtimes.has(digest)) continue;
      const age = now - ((await lstat(path).catch(() => undefined))?.mtimeMs ?? now);
      // A build that is under way reads here only what the registry lacks.
      const pushed = age > hourMs && (await store.size(digest)) !== undefined;
      if (pushed || age > buildMs) found.push(path);
    }
  }
  return found;
}

/** Half-written files of crashes. Folders of contents, blobs and data of applications are not looked into: what stands there is whole. */
async function leftovers({ root, unpacked, builds, registry }: GcOptions['folders'], now: number): Promise<string[]> {
  const found: string[] = [];
  const closed = new Set([join(root, 'data'), join(unpacked, 'contents'), join(unpacked, 'layers'), join(registry, 'content', 'blobs'), join(builds, 'blobs')]);
  const look = async (folder: string): Promise<void> => {
    for (const entry of await entriesIn(folder)) {
      const path = join(folder, entry.name);
      const scratch = folder === root && /^\.backup-[A-Za-z0-9]{6}$/.test(entry.name);
      if (entry.isDirectory() && !closed.has(path) && !scratch) await look(path);
      if (!entry.isFile() && !scratch) continue;
      const half = scratch || /\.tmp-(?:\d+-)?[0-9a-f]{12}$/.test(entry.name) || /^\.new-[0-9a-f]{24}$/.test(entry.name) || folder.endsWith('/incoming');
      if (half && now - ((await lstat(path).catch(() => undefined))?.mtimeMs ?? now) > hourMs) found.push(path);
    }
  };
  await look(root);
  return found;
}

/** @returns whether it went */
async function remove({ kind, path }: Omit<GcItem, 'bytes'>, wanted: (digest: Digest) => Promise<boolean>): Promise<boolean> {
  if (kind === 'build' || kind === 'leftover') {
    await rm(path, { force: true, recursive: true });
    return true;
  }
  const gone = `${path}.tmp-${process.pid}-${randomBytes(6).toString('hex')}`;
  await rename(path, gone);
  await fsyncDirectory(join(path, '..'));
  if (await wanted(`sha256:${path.slice(-64)}`)) {
    // Whoever wants it now has perhaps unpacked it again already.
    if (!(await exists(path))) await rename(gone, path).catch(() => removeFinished(gone));
    else await removeFinished(gone);
    return false;
  }
  await removeFinished(gone);
  return true;
}

/** Bytes that removing all of them gives back, by path: a file counts where the last of its names goes. */
async function measure(paths: readonly string[]): Promise<number[]> {
  const names = new Map<string, number>();
  const sizeOf = async (path: string): Promise<number> => {
    const stat = await lstat(path).catch(() => undefined);
    if (stat === undefined) return 0;
    if (stat.isDirectory()) {
      let sum = 0;
      for (const { name } of await entriesIn(path)) sum += await sizeOf(join(path, name));
      return sum;
    }
    const key = `${stat.dev}:${stat.ino}`;
    const seen = (names.get(key) ?? 0) + 1;
    names.set(key, seen);
    return seen === stat.nlink ? stat.size : 0;
  };
  const sizes: number[] = [];
  for (const path of paths) sizes.push(await sizeOf(path));
  return sizes;
}

async function entriesIn(folder: string): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  });
}

async function namesIn(folder: string): Promise<string[]> {
  return (await entriesIn(folder)).map(({ name }) => name).toSorted();
}
