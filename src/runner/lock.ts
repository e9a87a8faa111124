import { DatabaseSync } from 'node:sqlite';
import { CairnError } from '#core';

/**
 * One runner a folder. Node has no file locks of its own, but SQLite has: taken by one process at a time and given back by the
 * kernel however the process ends, so that there is no stale lock to judge. Returns how to give it back.
 * @throws CairnError `already-running`
 */
export function lockFolder(path: string): () => void {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if (!/locked|busy/.test((cause as Error).message)) throw cause;
    throw new CairnError('already-running', `another runner holds ${path}`, { fix: 'Use that one, or stop it first: cairn status', cause });
  }
  return () => {
    if (database.isOpen) database.close();
  };
}
