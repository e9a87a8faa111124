import { CairnError } from '#core';

/** Runs what asks SQLite, with the disk's and the file's troubles named. @throws CairnError `storage-full`, `storage` */
export function named<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof CairnError || (cause as { code?: string }).code !== 'ERR_SQLITE_ERROR') throw cause;
    const { errcode = 0, message } = cause as { errcode?: number; message: string };
    // sqlite.org/rescode.html: the low byte is the primary code.
    switch (errcode & 0xff) {
      case 13:
        throw new CairnError('storage-full', 'the disk is full: nothing was logged', { cause, fix: 'Make room on the disk of CAIRN_HOME, then ask again' });
      case 10:
        throw new CairnError('storage', `the disk does not take the ledger: ${message}`, { cause, fix: 'Look at the disk of CAIRN_HOME' });
      case 11:
      case 14:
      case 26:
        throw new CairnError('storage', `the ledger is damaged: ${message}`, { cause, fix: 'Stop cairn up and restore the ledger: cairn restore' });
      default:
        throw cause;
    }
  }
}
