import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type ExtractEvents } from 'tar-stream';
import { CairnError, type Digest } from '#core';

export interface TreeEntry {
  readonly kind: 'file' | 'folder' | 'link';
  /** Hash of a file's bytes, or of where a link leads; of a folder, nothing. */
  readonly digest: Digest | null;
  readonly size: number;
  readonly executable: boolean;
}

type Header = ExtractEvents['entry'][0];

/** A layer is read to be looked at, so that a bomb costs time and no room; more names than this are refused. */
const mostEntries = 1_000_000;

/**
 * What a layer holds, by path, its compressed bytes hashed on the way. `wanted` are paths whose bytes are kept.
 * @throws CairnError `digest-mismatch`, `malformed-document`
 */
export async function readLayer(layer: Digest, compressed: AsyncIterable<Uint8Array>, wanted: ReadonlySet<string> = new Set()): Promise<{ entries: Map<string, TreeEntry>; contents: Map<string, Buffer> }> {
  const whole = createHash('sha256');
  const entries = new Map<string, TreeEntry>();
  const contents = new Map<string, Buffer>();
  const archive = extract();
  const feeding = pipeline(Readable.from(hashed(compressed, whole)), createGunzip(), archive);
  feeding.catch(() => {});
  try {
    for await (const entry of archive) {
      const path = entry.header.name.split('/').filter((part) => part !== '' && part !== '.').join('/');
      if (entries.size >= mostEntries) throw new CairnError('malformed-document', `the layer ${layer} has more than ${mostEntries} names`, { fix: 'cairn verify' });
      const hash = createHash('sha256');
      const kept: Buffer[] = [];
      for await (const chunk of entry as AsyncIterable<Buffer>) {
        hash.update(chunk);
        if (wanted.has(path)) kept.push(chunk);
      }
      if (path === '') continue;
      entries.set(path, treeEntry(entry.header, `sha256:${hash.digest('hex')}`));
      if (wanted.has(path)) contents.set(path, Buffer.concat(kept));
    }
    await feeding;
  } catch (cause) {
    if (cause instanceof CairnError) throw cause;
    throw new CairnError('malformed-document', `the layer ${layer} is not a gzip'd tar archive`, { cause, fix: 'cairn verify tells whether its bytes are whole' });
  } finally {
    archive.destroy();
  }
  const actual: Digest = `sha256:${whole.digest('hex')}`;
  if (actual !== layer) throw new CairnError('digest-mismatch', `the layer ${layer} has the digest ${actual}`, { fix: 'cairn audit' });
  return { entries, contents };
}

function treeEntry({ type, size = 0, mode = 0, linkname }: Header, digest: Digest): TreeEntry {
  if (type === 'directory') return { kind: 'folder', digest: null, size: 0, executable: false };
  if (type === 'symlink' || type === 'link') return { kind: 'link', digest: `sha256:${createHash('sha256').update(linkname ?? '').digest('hex')}`, size: 0, executable: false };
  return { kind: 'file', digest, size, executable: (mode & 0o111) !== 0 };
}

async function* hashed(source: AsyncIterable<Uint8Array>, hash: { update(chunk: Uint8Array): unknown }): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
}
