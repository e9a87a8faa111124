import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { CairnError, isDigest, writeFileDurable, type Digest } from '#core';
import { mediaTypes, type ContentStore, type Descriptor } from '#oci';
import { writeTar, type TarEntry } from './tar.ts';

export interface Layer {
  readonly stage: string;
  readonly descriptor: Descriptor;
  /** Digest of the tar before compression. */
  readonly diffId: Digest;
}

/** npm's hidden lockfile names the registry that was used: it differs between machines and is a cache, so it is left out. */
const leftOut = /(^|\/)node_modules\/\.package-lock\.json$/;

/**
 * Packs paths of a folder under `prefix` into a gzip layer; memory is a few chunks, whatever the size.
 * @param owner the user that made them, where stages have one of their own: a file of anybody else is a hard link to what only we
 *   may read, made by a stage that wants it in a layer
 */
export async function layerOf(
  stage: string,
  root: string,
  paths: readonly string[],
  prefix: string,
  store: ContentStore,
  owner: number | null = null,
): Promise<Layer> {
  const entries = new Map<string, TarEntry>();
  const from = { root, prefix, owner };
  for (const path of paths) {
    if (path !== '.') await requireInside(root, path);
    const all = path === '.' ? await readdir(root).catch(absent('.')) : [path];
    for (const one of all) await collect(from, one, entries);
  }
  return packLayer(stage, [...entries.values()], store);
}

/** The runtime as a layer. Compressing 120 MB takes seconds, so what came of a binary is remembered by its digest. */
export async function runtimeLayer(binary: string, digest: Digest, store: ContentStore, cache: string): Promise<Layer> {
  const path = join(cache, `runtime-${digest.slice(7)}.json`);
  const known = await readFile(path, 'utf8').then(
    (text) => JSON.parse(text) as { digest: Digest; size: number; diffId: Digest },
    () => undefined,
  );
  if (known !== undefined && isDigest(known.diffId) && (await store.size(known.digest)) === known.size) {
    return { stage: 'runtime', descriptor: { mediaType: mediaTypes.layerTarGzip, digest: known.digest, size: known.size }, diffId: known.diffId };
  }
  const { size } = await lstat(binary);
  const folder = (of: string): TarEntry => ({ path: of, kind: 'folder' });
  const layer = await packLayer(
    'runtime',
    [folder('runtime'), folder('runtime/bin'), { path: 'runtime/bin/node', kind: 'file', executable: true, size, open: () => createReadStream(binary) }],
    store,
  );
  await writeFileDurable(path, JSON.stringify({ digest: layer.descriptor.digest, size: layer.descriptor.size, diffId: layer.diffId }));
  return layer;
}

async function packLayer(stage: string, entries: readonly TarEntry[], store: ContentStore): Promise<Layer> {
  const plain = createHash('sha256');
  const tar = Readable.from(hashed(writeTar(entries), plain), { objectMode: false });
  const gzip = createGzip({ level: 6 });
  tar.on('error', (error) => gzip.destroy(error)).pipe(gzip);
  const { digest, size } = await store.write(gzip);
  return { stage, descriptor: { mediaType: mediaTypes.layerTarGzip, digest, size }, diffId: `sha256:${plain.digest('hex')}` };
}

async function* hashed(chunks: AsyncIterable<Buffer>, hasher: { update(chunk: Buffer): unknown }): AsyncIterable<Buffer> {
  for await (const chunk of chunks) {
    hasher.update(chunk);
    yield chunk;
  }
}

/** A link on the way to a path could lead out of the checkout, into files of whoever releases. */
async function requireInside(root: string, path: string): Promise<void> {
  const parent = dirname(join(root, path));
  const real = await realpath(parent).catch(() => parent);
  const base = await realpath(root);
  if (real !== base && !real.startsWith(`${base}/`))
    throw new CairnError('invalid-configuration', `the layer path ${path} leads out of the repository`, { fix: 'Name the file itself' });
}

async function collect(from: { root: string; prefix: string; owner: number | null }, path: string, entries: Map<string, TarEntry>): Promise<void> {
  if (leftOut.test(path)) return;
  const { root, prefix, owner } = from;
  const file = join(root, path);
  const found = await lstat(file).catch(absent(path));
  if (owner !== null && found.uid !== owner)
    throw new CairnError('stage-failed', `${path} belongs to somebody else than the stages' user`, {
      fix: 'Let the stage copy the file instead of linking it',
    });
  addParents(prefix, path, entries);
  const name = `${prefix}/${path}`;
  if (found.isSymbolicLink()) entries.set(name, { path: name, kind: 'link', target: insideTarget(path, await readlink(file)) });
  else if (found.isFile())
    entries.set(name, { path: name, kind: 'file', executable: (found.mode & 0o100) !== 0, size: found.size, open: () => createReadStream(file) });
  else if (found.isDirectory()) {
    entries.set(name, { path: name, kind: 'folder' });
    for (const child of await readdir(file)) await collect(from, `${path}/${child}`, entries);
  } else throw new CairnError('stage-failed', `${path} is neither file, folder nor link`, { fix: 'Let the stage remove it' });
}

function absent(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new CairnError('stage-failed', `the layer names ${path}, which the stage did not make`, { cause, fix: 'Mend the layer list in cairn.yaml' });
  };
}

/** Refused here and not only when it is unpacked: a release that cannot run should not be made. */
function insideTarget(path: string, target: string): string {
  const resolved = normalize(join(dirname(path), target));
  if (isAbsolute(target) || resolved === '..' || resolved.startsWith('../')) {
    throw new CairnError('stage-failed', `${path} is a link that leads out of the layer, to ${target}`, {
      fix: 'Make it relative and inside, or copy the file',
    });
  }
  return target;
}

function addParents(prefix: string, path: string, entries: Map<string, TarEntry>): void {
  const parts = [prefix, ...path.split('/').slice(0, -1)];
  for (let count = 1; count <= parts.length; count++) {
    const folder = parts.slice(0, count).join('/');
    if (!entries.has(folder)) entries.set(folder, { path: folder, kind: 'folder' });
  }
}
