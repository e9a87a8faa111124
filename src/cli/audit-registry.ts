import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asCairnError, digestOfStream, exists, isDigest, type Digest } from '#core';
import { isIndex, parseManifest } from '#oci';
import type { Finding } from './audit-log.ts';

export interface RegistryAudit {
  readonly blobs: number;
  readonly bytes: number;
  readonly manifests: number;
}

/** Every blob of the registry hashed again, and every manifest: that all it names is there. */
export async function auditRegistry(registry: string, releases: readonly { application: string; release: Digest }[], report: (finding: Finding) => void): Promise<RegistryAudit> {
  const known = new Map<Digest, { size: number; whole: boolean }>();
  const root = join(registry, 'content', 'blobs', 'sha256');
  const pathOf = (digest: Digest) => join(root, digest.slice(7, 9), digest.slice(7));
  const read = async (digest: Digest): Promise<{ size: number; whole: boolean } | undefined> => {
    if (!(await exists(pathOf(digest)))) return undefined;
    const found = await digestOfStream(createReadStream(pathOf(digest))).catch((error: unknown) => ({ digest: `unreadable: ${asCairnError(error).message}`, size: 0 }));
    const blob = { size: found.size, whole: found.digest === digest };
    known.set(digest, blob);
    if (!blob.whole) report({ what: `blob ${digest.slice(7, 19)}: its bytes hash to ${found.digest.slice(7, 19)}`, fix: `rm ${pathOf(digest)}, then release its commit again (the same bytes get the same digest), or restore a backup` });
    return blob;
  };
  for (const folder of (await namesIn(root)).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
    for (const name of await namesIn(join(root, folder))) {
      const digest = `sha256:${name}`;
      if (isDigest(digest)) await read(digest);
    }
  }
  // One that was pushed since its folder was looked at is there by now.
  const have = async (digest: Digest) => known.get(digest) ?? read(digest);
  const manifests = await auditManifests(registry, have, report);
  for (const { application, release } of releases) {
    if (!manifests.has(`${application}@${release}`)) report({ what: `release ${application} ${release.slice(7, 19)}: the registry lacks it, though it was let in`, fix: 'Release its commit again, or restore a backup' });
  }
  return { blobs: known.size, bytes: [...known.values()].reduce((sum, { size }) => sum + size, 0), manifests: manifests.size };
}

async function auditManifests(registry: string, have: (digest: Digest) => Promise<{ whole: boolean } | undefined>, report: (finding: Finding) => void): Promise<Set<string>> {
  const found = new Set<string>();
  for (const { repository, digest } of await manifestNames(join(registry, 'repositories'), '')) {
    const again = { fix: 'Release its commit again, or restore a backup' };
    found.add(`${repository}@${digest}`);
    const own = await have(digest);
    if (own === undefined) {
      report({ what: `manifest ${repository} ${digest.slice(7, 19)}: its bytes are missing`, ...again });
      continue;
    }
    // A manifest whose bytes changed was named above.
    if (!own.whole) continue;
    try {
      const bytes = await readFile(join(registry, 'content', 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7)));
      const manifest = parseManifest(bytes);
      for (const part of isIndex(manifest) ? manifest.manifests : [manifest.config, ...manifest.layers]) {
        if ((await have(part.digest)) === undefined) report({ what: `manifest ${repository} ${digest.slice(7, 19)}: it names ${part.digest.slice(7, 19)}, which is missing`, ...again });
      }
    } catch (error) {
      report({ what: `manifest ${repository} ${digest.slice(7, 19)}: ${asCairnError(error).message}`, ...again });
    }
  }
  return found;
}

async function manifestNames(root: string, repository: string): Promise<{ repository: string; digest: Digest }[]> {
  const found: { repository: string; digest: Digest }[] = [];
  for (const entry of await readdir(join(root, repository), { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory()) continue;
    if (entry.name === '_manifests') {
      const names = await namesIn(join(root, repository, entry.name));
      found.push(...names.map((name) => ({ repository, digest: `sha256:${name}` as const })).filter(({ digest }) => isDigest(digest)));
    } else if (!entry.name.startsWith('_')) found.push(...(await manifestNames(root, repository === '' ? entry.name : `${repository}/${entry.name}`)));
  }
  return found;
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).filter((name) => !name.startsWith('.')).toSorted();
}
