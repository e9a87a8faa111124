import { CairnError } from '#core';

/** What a write that failed is called: a disk that is full mends by making room, another one does not. */
export function storageError(what: string, cause: NodeJS.ErrnoException, retryable = false): CairnError {
  const full = isFull(cause);
  return new CairnError(full ? 'storage-full' : 'storage', `${what}: ${full ? 'the disk is full' : cause.message}`, {
    fix: full ? 'Make room on the disk, then do it again; what runs serves on' : 'Repair the disk; what runs serves on',
    cause,
    retryable,
  });
}

export function isFull(cause: unknown): boolean {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
