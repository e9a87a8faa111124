import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { extract, type ExtractEvents } from 'tar-stream';
import { z } from 'zod';
import { CairnError } from '#core';
import { manifestName } from './archive-write.ts';
import { damaged, readAbout, type CapsuleAbout, type CapsuleFiles } from './capsule-form.ts';

/** Of all of it: a release's evidence is some megabytes. What is larger is not read. */
const mostBytes = 512 << 20;
const mostOfOne = 64 << 20;
const mostFiles = 20_000;

const listed = z.array(z.strictObject({ path: z.string().max(200), kind: z.literal('file'), mode: z.int(), size: z.int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })).max(mostFiles);

/**
 * Reads a capsule into memory; nothing is written. Whoever made it may want more than to be checked: a name that leads elsewhere, one name
 * twice, a link, a size that fills the memory, a file that the manifest does not know. Its manifest comes last and names all the others.
 * @throws CairnError `capsule-damaged`; `usage` where there is no such file
 */
export async function readCapsule(path: string): Promise<{ about: CapsuleAbout; files: CapsuleFiles; bytes: number }> {
  const bytes = await sizeOf(path);
  if (bytes > mostBytes) throw damaged(`it has ${bytes} bytes, more than the ${mostBytes} that are read`);
  const files = new Map<string, Buffer>();
  let manifest: Buffer | undefined;
  const archive = extract();
  const feeding = pipeline(createReadStream(path), archive as unknown as NodeJS.WritableStream);
  feeding.catch(() => {});
  try {
    for await (const entry of archive) {
      const { name, type, size = 0 } = entry.header;
      if (manifest !== undefined) throw damaged('something stands behind its manifest');
      if (type !== 'file') throw damaged(`${shown(name)} is a ${type}, and only files belong in it`);
      if (name !== manifestName && !isPlain(name)) throw damaged(`the name ${shown(name)} does not belong in a capsule`);
      if (files.has(name)) throw damaged(`the name ${shown(name)} stands in it twice`);
      if (size > mostOfOne) throw damaged(`${shown(name)} says that it has ${size} bytes, more than the ${mostOfOne} allowed`);
      if (files.size >= mostFiles) throw damaged(`it holds more than ${mostFiles} files`);
      const content = await contentOf(entry);
      if (name === manifestName) manifest = content;
      else files.set(name, content);
    }
    await feeding;
  } catch (cause) {
    if (cause instanceof CairnError) throw cause;
    throw damaged((cause as Error).message, cause);
  } finally {
    archive.destroy();
  }
  if (manifest === undefined) throw damaged('it ends before its manifest');
  return { about: settle(manifest, files), files, bytes };
}

/** What came out against what the manifest says: all of it, and nothing else. */
function settle(manifest: Buffer, files: CapsuleFiles): CapsuleAbout {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(manifest.toString('utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw damaged('its manifest is not JSON', cause);
  }
  const { files: names, ...about } = value;
  const parsed = listed.safeParse(names);
  if (!parsed.success) throw damaged('its manifest does not list its files');
  const wanted = new Map(parsed.data.map((one) => [one.path, one]));
  if (wanted.size !== parsed.data.length) throw damaged('its manifest names a file twice');
  const missing = parsed.data.find((one) => !files.has(one.path));
  if (missing !== undefined) throw damaged(`${shown(missing.path)} is missing`);
  for (const [name, content] of files) {
    const one = wanted.get(name);
    if (one === undefined) throw damaged(`it holds ${shown(name)}, which its manifest does not name`);
    if (one.size !== content.byteLength || one.sha256 !== createHash('sha256').update(content).digest('hex')) throw damaged(`${shown(name)} is not the file that its manifest names`);
  }
  return readAbout(about);
}

async function sizeOf(path: string): Promise<number> {
  // Neither a pipe, at which we would wait for ever, nor a folder.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new CairnError('usage', `${path} cannot be read: ${(cause as Error).message}`, { cause, fix: 'Name the file that cairn audit --capsule wrote' });
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new CairnError('usage', `${path} is no file`, { fix: 'Name the file that cairn audit --capsule wrote' });
    return stat.size;
  } finally {
    await file.close();
  }
}

async function contentOf(entry: ExtractEvents['entry'][1]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Folder and file of plain letters: nothing that a shell, a console or another system reads otherwise. */
function isPlain(name: string): boolean {
  return name.length <= 200 && /^(?:[a-z]+\/){0,2}[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) && !name.includes('..');
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 120));
}
