import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, digestOfStream, shortDigest, type Digest } from '#core';

/** The program that runs the content's code, below its folder. */
export interface Runtime {
  readonly path: string;
  readonly digest: Digest;
}

const known = new Map<string, Digest>();

/**
 * Whoever may write to the disk could put another program where the runtime was: its bytes are hashed before every start. A file
 * that has kept its place, size and time of change since it was hashed is not read again; the time of change is the kernel's, and no
 * program sets it. @throws CairnError `digest-mismatch`
 */
export async function checkRuntime(directory: string, { path, digest }: Runtime): Promise<void> {
  const file = await open(join(directory, path), 'r').catch((cause: unknown) => {
    throw new CairnError('digest-mismatch', `the runtime ${path} of the content can't be read`, { fix: 'Promote the release again: it is unpacked anew', cause });
  });
  try {
    const { dev, ino, size, ctimeNs } = await file.stat({ bigint: true });
    const place = `${dev} ${ino} ${size} ${ctimeNs}`;
    const actual = known.get(place) ?? (await digestOfStream(file.createReadStream({ autoClose: false, highWaterMark: 1 << 20 }))).digest;
    if (known.size >= 1_000) known.clear();
    known.set(place, actual);
    if (actual === digest) return;
    throw new CairnError('digest-mismatch', `the runtime ${path} of the content is ${shortDigest(actual)} and not ${shortDigest(digest)}: nothing was started`, {
      fix: 'Somebody changed the unpacked content: find out who; delete its folder, and promote again',
      context: { path: join(directory, path), expected: digest, actual },
    });
  } finally {
    await file.close();
  }
}
