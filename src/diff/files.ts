import type { Digest } from '#core';
import { countLines, linesOf, type LineCount } from './lines.ts';
import { readLayer, type TreeEntry } from './layer.ts';

export interface LayerRef {
  readonly digest: Digest;
}

/** Opens the compressed bytes of a layer; they are hashed here. */
export type OpenLayer = (layer: Digest) => Promise<AsyncIterable<Uint8Array>>;

interface FileState {
  readonly kind: 'file' | 'folder' | 'link';
  readonly digest: Digest | null;
  readonly size: number;
  readonly executable: boolean;
}

export interface FileChange {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** Null: it is not there. */
  readonly from: FileState | null;
  readonly to: FileState | null;
  /** Null where it is no small text. */
  readonly lines: LineCount | null;
}

const smallText = 256 << 10;
/** Lines are counted in so many files; of the others only that they differ is said. */
const mostCounted = 200;

type Placed = TreeEntry & { readonly layer: Digest };
type Tree = Map<string, Placed>;

/**
 * What differs between two stacks of layers, the later layer winning as when they are composed. Layers at the bottom that both share
 * are read only if a path stands on one side alone, since what it covers there would be what it is compared with: as a rule that saves
 * the runtime, which is most of the bytes.
 */
export async function diffFiles(before: readonly LayerRef[], after: readonly LayerRef[], open: OpenLayer): Promise<FileChange[]> {
  let shared = 0;
  while (shared < before.length && shared < after.length && before[shared]?.digest === after[shared]?.digest) shared++;
  if (shared === before.length && shared === after.length) return [];
  const known = new Map<Digest, Map<string, TreeEntry>>();
  let [a, b] = [await compose(before.slice(shared), open, known), await compose(after.slice(shared), open, known)];
  const alone = [...a.keys()].some((path) => !b.has(path)) || [...b.keys()].some((path) => !a.has(path));
  if (shared > 0 && alone) {
    [a, b] = [await compose(before, open, known), await compose(after, open, known)];
  }
  const changed = [...new Set([...a.keys(), ...b.keys()])].toSorted().flatMap((path) => {
    const [from, to] = [a.get(path), b.get(path)];
    return isSame(from, to) ? [] : [{ path, from, to }];
  });
  const counted = changed.filter(({ from, to }) => isSmall(from) && isSmall(to)).slice(0, mostCounted);
  const [old, fresh] = [await contentsOf(counted.map(({ path, from }) => [path, from] as const), open), await contentsOf(counted.map(({ path, to }) => [path, to] as const), open)];
  const names = new Set(counted.map(({ path }) => path));
  return changed.map(({ path, from, to }) => ({
    path, change: from === undefined ? 'added' : to === undefined ? 'removed' : 'changed',
    from: stateOf(from), to: stateOf(to),
    lines: names.has(path) ? linesBetween(old.get(path), fresh.get(path)) : null,
  }));
}

function stateOf(entry: Placed | undefined): FileState | null {
  if (entry === undefined) return null;
  const { kind, digest, size, executable } = entry;
  return { kind, digest, size, executable };
}

async function compose(layers: readonly LayerRef[], open: OpenLayer, known: Map<Digest, Map<string, TreeEntry>>): Promise<Tree> {
  const tree: Tree = new Map();
  for (const { digest } of layers) {
    const entries = known.get(digest) ?? (await readLayer(digest, await open(digest))).entries;
    known.set(digest, entries);
    // Folders come and go with what is in them.
    for (const [path, entry] of entries) if (entry.kind !== 'folder') tree.set(path, { ...entry, layer: digest });
  }
  return tree;
}

async function contentsOf(wanted: readonly (readonly [string, Placed | undefined])[], open: OpenLayer): Promise<Map<string, Buffer>> {
  const byLayer = Map.groupBy(wanted.filter(([, entry]) => entry !== undefined), ([, entry]) => entry?.layer);
  const found = new Map<string, Buffer>();
  for (const [layer, paths] of byLayer) {
    if (layer === undefined) continue;
    const { contents } = await readLayer(layer, await open(layer), new Set(paths.map(([path]) => path)));
    for (const [path, bytes] of contents) found.set(path, bytes);
  }
  return found;
}

function isSame(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  return a !== undefined && b !== undefined && a.kind === b.kind && a.digest === b.digest && a.executable === b.executable;
}

function isSmall(entry: TreeEntry | undefined): boolean {
  return entry === undefined || (entry.kind === 'file' && entry.size <= smallText);
}

function linesBetween(before: Buffer | undefined, after: Buffer | undefined): LineCount | null {
  if (before?.includes(0) === true || after?.includes(0) === true) return null;
  if (before === undefined) return { added: linesOf(after?.toString('utf8') ?? '').length, removed: 0 };
  if (after === undefined) return { added: 0, removed: linesOf(before.toString('utf8')).length };
  return countLines(before.toString('utf8'), after.toString('utf8'));
}
