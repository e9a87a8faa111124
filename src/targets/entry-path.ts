import { posix } from 'node:path';
import { CairnError } from '#core';

// A layer's author chooses these names, and may be the attacker: every one of them stays inside the folder, or the layer is refused.

const longestName = 255;
const longestPath = 3_000;

export function refuseEntry(name: string, reason: string): CairnError {
  return new CairnError('malformed-document', `the layer's entry ${JSON.stringify(name.slice(0, 200))} ${reason}`, {
    fix: 'Build the layer again with cairn release; if it comes from elsewhere, do not trust it',
  });
}

/**
 * The entry's path below the root, `''` for the root itself, without `./` in front and `/` at the end.
 * @throws CairnError `malformed-document`
 */
export function entryPath(name: string): string {
  if (name.includes('\0')) throw refuseEntry(name, 'has a NUL in its name');
  if (name.startsWith('/')) throw refuseEntry(name, 'has an absolute name');
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  for (const part of parts) {
    if (part === '..') throw refuseEntry(name, 'leads out of the folder');
    // OCI image layers delete with these; a content is a sum of layers and never deletes, so that each stays what was verified.
    if (part.startsWith('.wh.')) throw refuseEntry(name, 'is a whiteout, which Cairn does not apply');
    if (Buffer.byteLength(part) > longestName) throw refuseEntry(name, 'has a name that no file system takes');
  }
  const path = parts.join('/');
  if (Buffer.byteLength(path) > longestPath) throw refuseEntry(name, 'has a path that no file system takes');
  return path;
}

/**
 * A symbolic link may lead anywhere inside the root. `..` is taken in front only: there it climbs real folders (unpacking sees to
 * it that a link's parents are no links), so that counting them is exact. Behind a name, `..` would climb from wherever that name
 * leads, and a few harmless-looking links in a row would leave the root.
 * @throws CairnError `malformed-document`
 */
export function checkLinkTarget(path: string, target: string): void {
  if (target === '' || target.includes('\0')) throw refuseEntry(path, 'is a link to nothing');
  if (target.startsWith('/')) throw refuseEntry(path, `links to an absolute path, ${JSON.stringify(target.slice(0, 200))}`);
  let depth = posix.dirname(path) === '.' ? 0 : posix.dirname(path).split('/').length;
  let named = false;
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') named = true;
    else if (named || --depth < 0) throw refuseEntry(path, `links out of the folder, to ${JSON.stringify(target.slice(0, 200))}`);
  }
}
