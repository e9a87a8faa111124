import { copyFile, link, mkdir, open, readdir, readlink, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError } from '#core';
import { makeFinished } from './finished-folder.ts';

type Item = { readonly kind: 'directory' } | { readonly kind: 'file' | 'symlink'; readonly source: string };

/** Links made at a time: enough to keep the disk busy, few enough to leave threads to others. */
const together = 32;

/**
 * Builds `directory` from unpacked layers; where two have the same path the later one wins, a folder and a folder are merged.
 * Files are hard links, so that a second content costs names and no bytes, and is as verified as its layers are. The whole is
 * planned first and then made, so that nothing is ever written through a link of an earlier layer.
 */
export async function composeContent(layers: readonly string[], directory: string): Promise<void> {
  await makeFinished(directory, async (root) => {
    const plan = new Map<string, Item>();
    for (const layer of layers) await addLayer(plan, layer, '');
    const directories = [...plan].flatMap(([path, { kind }]) => (kind === 'directory' ? [path] : [])).toSorted();
    for (const path of directories) await mkdir(join(root, path), { mode: 0o755 });
    const leaves = [...plan].filter((item): item is [string, Exclude<Item, { kind: 'directory' }>] => item[1].kind !== 'directory');
    for (let i = 0; i < leaves.length; i += together) {
      await Promise.all(leaves.slice(i, i + together).map(([path, item]) => make(item, join(root, path))));
    }
    return directories;
  });
}

async function addLayer(plan: Map<string, Item>, layer: string, folder: string): Promise<void> {
  for (const entry of await readdir(join(layer, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      plan.set(path, { kind: 'directory' });
      await addLayer(plan, layer, path);
      continue;
    }
    if (!entry.isFile() && !entry.isSymbolicLink()) {
      throw new CairnError('storage', `${path} in an unpacked layer is neither a file, a folder nor a link`, {
        fix: 'Something else wrote there: delete the unpacked layer; it is unpacked again when needed',
      });
    }
    if (plan.get(path)?.kind === 'directory') removeBelow(plan, path);
    plan.set(path, { kind: entry.isFile() ? 'file' : 'symlink', source: join(layer, path) });
  }
}

function removeBelow(plan: Map<string, Item>, folder: string): void {
  for (const path of plan.keys()) if (path.startsWith(`${folder}/`)) plan.delete(path);
}

async function make(item: Exclude<Item, { kind: 'directory' }>, path: string): Promise<void> {
  if (item.kind === 'symlink') {
    await symlink(await readlink(item.source), path);
    return;
  }
  try {
    await link(item.source, path);
  } catch (error) {
    // Another file system, or more names than a file may have: bytes instead.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EXDEV' && code !== 'EMLINK') throw error;
    await copyFile(item.source, path);
    const copy = await open(path, 'r');
    await copy.sync().finally(() => copy.close());
  }
}
