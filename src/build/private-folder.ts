import { chown, lstat, mkdir } from 'node:fs/promises';

/**
 * `/tmp/cairn-UID`, which only that user can enter, for what must be in one place for all homes of a user: the locks of builds and
 * what npm downloaded. Anyone can make names in /tmp, so one that is there already counts only if it is a folder of that user, closed
 * to others; a link there could lead our writes anywhere. Undefined where somebody else holds the name.
 */
export async function privateFolder(uid: number): Promise<string | undefined> {
  const path = `/tmp/cairn-${uid}`;
  try {
    await mkdir(path, { mode: 0o700 });
    if (uid !== process.getuid?.()) await chown(path, uid, uid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const found = await lstat(path);
  return found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0 ? path : undefined;
}
