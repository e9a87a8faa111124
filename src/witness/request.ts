import { malformed } from '#core';
import { parseNote, parseTreeHead, type Note, type TreeHead } from '#log';

// C2SP tlog-witness, the body of add-checkpoint: `old SIZE`, up to 63 proof lines, an empty line, the checkpoint.

/** Sixty-three proof lines and a note with all the signatures that one may have fit well within. */
export const mostRequestBytes = 96 << 10;
const mostProofLines = 63;

export interface AddCheckpoint {
  readonly oldSize: number;
  /** Of 32 bytes each. */
  readonly proof: readonly Buffer[];
  /** The checkpoint's own bytes. */
  readonly checkpoint: string;
  readonly note: Note;
  readonly head: TreeHead;
}

export function formatAddCheckpoint(oldSize: number, proof: readonly string[], checkpoint: string): string {
  return `old ${oldSize}\n${proof.map((line) => `${line}\n`).join('')}\n${checkpoint}`;
}

/** Anybody may send one. @throws CairnError `malformed-document` */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpoint {
  const refuse = (why: string, cause?: unknown) => malformed('checkpoint-malformed', `not an add-checkpoint request: ${why}`, { cause });
  if (body.byteLength > mostRequestBytes) throw refuse(`more than ${mostRequestBytes} bytes`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch (cause) {
    throw refuse('it is not UTF-8', cause);
  }
  const end = text.indexOf('\n\n');
  const [first = '', ...lines] = text.slice(0, Math.max(end, 0)).split('\n');
  const [, old = ''] = /^old (0|[1-9][0-9]{0,15})$/.exec(first) ?? [];
  if (end < 0 || old === '' || !Number.isSafeInteger(Number(old))) throw refuse('the old size');
  if (lines.length > mostProofLines) throw refuse(`more than ${mostProofLines} proof lines`);
  const proof = lines.map((line) => {
    const hash = Buffer.from(line, 'base64');
    if (hash.byteLength !== 32 || hash.toString('base64') !== line) throw refuse('a proof line');
    return hash;
  });
  const checkpoint = text.slice(end + 2);
  const note = parseNote(checkpoint);
  return { oldSize: Number(old), proof, checkpoint, note, head: parseTreeHead(note.text) };
}
