import { accessSync, chmodSync, constants, copyFileSync, linkSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The path of this very Node. As root, tests start processes under users of their own with it: where its folder is closed to other
 * users (a clone below a 0700 folder), it gets another name of the same file, until this process ends.
 */
export function openNode(): string {
  const node = process.execPath;
  if (process.getuid?.() !== 0 || !closed(node)) return node;
  const folder = mkdtempSync('/tmp/cairn-node-');
  chmodSync(folder, 0o755);
  const named = join(folder, 'node');
  try {
    linkSync(node, named);
  } catch {
    copyFileSync(node, named);
    chmodSync(named, 0o755);
  }
  accessSync(named, constants.X_OK);
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return named;
}

function closed(path: string): boolean {
  for (let folder = dirname(path); folder !== '/'; folder = dirname(folder)) if ((statSync(folder).mode & 0o001) === 0) return true;
  return false;
}
