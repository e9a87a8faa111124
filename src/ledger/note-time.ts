import { CairnError } from '#core';

/** The cosignature's time, of a checkpoint that we wrote and signed ourselves. */
export function noteTime(note: string): number {
  const line = note.trimEnd().split('\n').at(-1)?.split(' ').at(-1);
  const bytes = Buffer.from(line ?? '', 'base64');
  if (bytes.byteLength !== 76) throw new CairnError('storage', 'a stored checkpoint is damaged', { fix: 'Restore the ledger from a backup' });
  return Number(bytes.readBigUInt64BE(4));
}

/** Eight hex digits of the log's key that signed it. */
export function noteSigner(note: string, origin: string): string {
  const start = `\u2014 ${origin} `;
  const line = note.split('\n').find((one) => one.startsWith(start));
  return Buffer.from(line?.slice(start.length) ?? '', 'base64').subarray(0, 4).toString('hex');
}
