import { CairnError } from '#core';
import { cosignedAt, linesOf, parseNote, type NoteKey } from '#log';

// One question to a witness and its answer, which may be anything: a witness is another's machine.

/** A checkpoint with the log's signatures and the one cosignature that was asked for. */
export interface Cosigned {
  readonly size: number;
  readonly note: string;
}

export interface Trouble {
  readonly state: 'unreachable' | 'throttled';
  readonly detail: string;
}

/** Why it was not cosigned now. */
export class Refused extends Error {
  readonly trouble: Trouble;
  readonly waitMs: number;
  constructor(state: Trouble['state'], detail: string, waitMs = 0) {
    super(detail);
    this.trouble = { state, detail };
    this.waitMs = waitMs;
  }
}

const answerMs = 5_000;
const mostAnswerBytes = 16 << 10;

/** How a connection ends that was kept open and that the other side, or a proxy between, has closed meanwhile. */
const closed: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** The same question twice is answered alike, so that one that met a connection just being closed is asked again at once. @throws Refused where there is no whole answer */
export async function postCheckpoint(url: string, body: string, closing: AbortSignal, again = true): Promise<{ status: number; text: string; waitMs: number }> {
  try {
    const signal = AbortSignal.any([closing, AbortSignal.timeout(answerMs)]);
    const response = await fetch(`${url.replace(/\/$/, '')}/add-checkpoint`, { method: 'POST', body, redirect: 'error', signal, headers: { 'content-type': 'text/plain; charset=utf-8' } });
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += chunk.byteLength;
      if (size > mostAnswerBytes) throw new Error('its answer does not end');
      chunks.push(chunk);
    }
    const after = Number(response.headers.get('retry-after') ?? Number.NaN);
    return { status: response.status, text: Buffer.concat(chunks).toString('utf8'), waitMs: after > 0 ? Math.min(after, 600) * 1000 : 0 };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string; message?: string } };
    if (again && closed.has(cause?.code ?? '')) return postCheckpoint(url, body, closing, false);
    throw new Refused('unreachable', `does not answer: ${cause?.code ?? cause?.message ?? (error as Error).message}`.slice(0, 500));
  }
}

/** The checkpoint with the cosignature that the answer holds. @throws Refused where it holds none by the key */
export function cosignedBy(key: NoteKey, checkpoint: { readonly size: number; readonly note: string }, lines: string): Cosigned {
  try {
    const bare = parseNote(checkpoint.note);
    const [text = ''] = checkpoint.note.split('\n\n');
    // Only a line of its own is taken over, and one: what else it may have sent is nobody's word, and would fill the note.
    const own = linesOf(parseNote(`${text}\n\n${lines}`), key).at(-1) ?? '';
    const note = `${checkpoint.note}${own}`;
    if (cosignedAt(parseNote(note), key) !== undefined && parseNote(note).text === bare.text) return { size: checkpoint.size, note };
  } catch (error) {
    if (!(error instanceof CairnError)) throw error;
  }
  throw new Refused('unreachable', 'answered without a cosignature by its key: is the key that the policy names its own?');
}
