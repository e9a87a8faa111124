import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { CairnError, canonicalJson, digestOf, type Digest } from '#core';

const largestEntry = 32 << 20;
/** Files that are read at once: enough to keep a disk busy, few enough to bound memory. */
const together = 32;

/**
 * Reads a folder of OSV entries (`*.json`, at any depth), a few at a time and each once, in the order of their paths. The answer is one digest over
 * paths and contents: two scans with the same digest saw the same database.
 * @throws CairnError `not-found`, `malformed-document`
 */
export async function readOsvFolder(folder: string, each: (bytes: Uint8Array, name: string) => void): Promise<{ digest: Digest; files: number }> {
  const paths = (await listed(folder)).toSorted();
  if (paths.length === 0) throw new CairnError('not-found', `${folder} holds no OSV entries`, { fix: 'Unpack an ecosystem there, such as https://osv-vulnerabilities.storage.googleapis.com/npm/all.zip' });
  const lines: [string, string][] = [];
  for (let at = 0; at < paths.length; at += together) {
    const batch = await Promise.all(paths.slice(at, at + together).map(async (path) => ({ path, bytes: await entry(folder, path) })));
    for (const { path, bytes } of batch) {
      each(bytes, path);
      lines.push([path, digestOf(bytes)]);
    }
  }
  return { digest: digestOf(canonicalJson(lines)), files: paths.length };
}

async function listed(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((one) => one.isFile() && one.name.endsWith('.json') && !one.name.startsWith('.')).map((one) => relative(folder, join(one.parentPath, one.name)));
  } catch (cause) {
    throw new CairnError('not-found', `${folder} cannot be read: ${(cause as Error).message}`, { cause, fix: 'Give a folder of OSV entries' });
  }
}

async function entry(folder: string, path: string): Promise<Buffer> {
  const whole = join(folder, path);
  const { size } = await stat(whole);
  if (size > largestEntry) throw new CairnError('malformed-document', `${path} has ${size} bytes, more than the ${largestEntry} allowed`, { fix: 'Fetch the database again' });
  return readFile(whole);
}
