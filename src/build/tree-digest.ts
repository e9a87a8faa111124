import { chmod, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, type Digest } from '#core';

export interface TreeOptions {
  /** Writes what was hashed to this folder, so that nobody exchanges it in between. */
  readonly copyTo?: string | undefined;
  /** Paths that are left out. */
  readonly except?: RegExp;
}

/** One hash over a folder: each path with its content, in order of paths. Times, owners and modes do not count. */
export async function treeDigest(root: string, { copyTo, except }: TreeOptions = {}): Promise<Digest> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const lines: string[] = [];
  if (copyTo !== undefined)
    await makeFolders([
      copyTo,
      ...entries.filter((one) => one.isDirectory()).map((one) => join(copyTo, join(one.parentPath, one.name).slice(root.length + 1))),
    ]);
  for (let at = 0; at < entries.length; at += 32) {
    await Promise.all(
      entries.slice(at, at + 32).map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const relative = path.slice(root.length + 1);
        if (except?.test(relative) === true) return;
        if (entry.isFile()) {
          const bytes = await readFile(path);
          lines.push(`${relative}\0${digestOf(bytes)}`);
          if (copyTo === undefined) return;
          await writeFile(join(copyTo, relative), bytes);
          // Whatever our umask is: stages may run as somebody else.
          await chmod(join(copyTo, relative), 0o755);
        } else if (entry.isSymbolicLink()) {
          const target = await readlink(path);
          lines.push(`${relative}\0-> ${target}`);
          if (copyTo !== undefined) await symlink(target, join(copyTo, relative));
        }
      }),
    );
  }
  return digestOf(lines.toSorted().join('\n'));
}

async function makeFolders(folders: readonly string[]): Promise<void> {
  for (const folder of folders.toSorted((a, b) => a.length - b.length)) {
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o755);
  }
}
