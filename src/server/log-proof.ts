import { CairnError, isDigest } from '#core';
import type { OpenLedger } from '#ledger';
import type { ProofAnswer } from './contract.ts';
import { newestNote, type PublicLogOptions } from './public-log.ts';

/** The entry by its number or its envelope's digest, proven into the checkpoint that is shown, with whatever witnesses said of it. */
export async function proofOf(options: Pick<PublicLogOptions, 'published'> & { readonly ledger: OpenLedger }, entry: string): Promise<ProofAnswer> {
  const { ledger } = options;
  const index = isDigest(entry) ? await ledger.find(entry) : /^(0|[1-9][0-9]{0,14})$/.test(entry) ? Number(entry) : undefined;
  if (index === undefined) throw new CairnError('not-found', `the log has no entry "${entry.slice(0, 80)}"`, { fix: 'Give the number of an entry, or the digest of a statement as cairn show prints it' });
  const note = await newestNote(options);
  const size = Number(note?.split('\n')[1] ?? 0);
  if (note === undefined || index >= size) throw new CairnError('not-found', `the log shows ${size} entries, and no entry ${index}`, { fix: 'cairn status shows how long it is' });
  const [body] = await ledger.bodies(index, index + 1);
  if (body === undefined) throw new CairnError('storage', `log entry ${index} is missing`, { fix: 'cairn audit' });
  return { index, body: Buffer.from(body).toString('base64'), hashes: await ledger.inclusion(index, size), note };
}
