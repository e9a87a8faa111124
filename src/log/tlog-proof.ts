import { malformed } from '#core';

// C2SP tlog-proof: one entry's inclusion in one text that checks offline. `extra` is the entry itself: nothing vouches for it but
// that its leaf hash is the one that the proof is of.

const header = 'c2sp.org/tlog-proof@v1';
const largest = 256 << 10;

export interface TlogProof {
  readonly index: number;
  /** The leaf's bytes. */
  readonly body: Buffer;
  /** From the leaf's sibling up. */
  readonly hashes: readonly Buffer[];
  /** The checkpoint, with its signatures. */
  readonly note: string;
}

export function formatProof({ index, body, hashes, note }: TlogProof): string {
  return `${[header, `extra ${body.toString('base64')}`, `index ${index}`, ...hashes.map((hash) => hash.toString('base64'))].join('\n')}\n\n${note}`;
}

/** @throws CairnError `malformed-document`. Nothing of it is verified yet. */
export function parseProof(text: string): TlogProof {
  const refuse = (why: string) => malformed('proof-malformed', `not a proof: ${why}`, { fix: 'cairn ledger prove INDEX > entry.tlog-proof' });
  if (text.length > largest) throw refuse('it is too large');
  const end = text.indexOf('\n\n');
  const [first, extra = '', index = '', ...lines] = text.slice(0, Math.max(end, 0)).split('\n');
  if (first !== header) throw refuse(`its first line is not ${header}`);
  const body = base64(/^extra (.+)$/.exec(extra)?.[1]);
  const number = /^index (0|[1-9][0-9]{0,15})$/.exec(index)?.[1];
  if (body === undefined) throw refuse('it does not carry the entry, as ours do');
  if (number === undefined || !Number.isSafeInteger(Number(number))) throw refuse('it has no index');
  const hashes = lines.map((line) => base64(line));
  if (hashes.length > 64 || hashes.some((hash) => hash?.byteLength !== 32)) throw refuse('its hashes are not 32 bytes in base64');
  return { index: Number(number), body, hashes: hashes.filter((hash) => hash !== undefined), note: text.slice(end + 2) };
}

/** In its one form; undefined for any other. */
function base64(text: string | undefined): Buffer | undefined {
  const bytes = Buffer.from(text ?? '', 'base64');
  return bytes.byteLength > 0 && bytes.toString('base64') === text ? bytes : undefined;
}
