import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { envelopeDigest, parseEnvelope, type Envelope } from '#attest';
import { asCairnError, CairnError, ensureDurableDirectory, writeFileDurable, type CairnError as Failure } from '#core';
import type { HomePaths } from './home.ts';

// Signed statements that the log could not take when they were made. Each is a file that is written whole, and is sent as it is: the same
// bytes and the same signature. Nobody's key is needed again, and the log takes a statement that it has already for the same one.

export interface Queued {
  readonly name: string;
  readonly application: string;
  readonly envelope: Envelope;
  /** base64 SPKI. */
  readonly key: string;
}

export interface Sent {
  readonly sent: number;
  /** How many still wait, and why. */
  readonly left: number;
  readonly because: Failure | undefined;
  /** Those that the log will never take, such as of a key that was revoked meanwhile. They stay on the disk, under another name. */
  readonly refused: readonly { readonly name: string; readonly error: Failure }[];
}

const schema = z.strictObject({ application: z.string(), envelope: z.unknown(), key: z.string().max(1024) });

/** What only time mends: the log is away, or cannot write. */
export function isOutage({ code }: Failure): boolean {
  return code === 'unreachable' || code === 'throttled' || code === 'storage' || code === 'storage-full';
}

/** Keeps it through a power cut, behind what is kept already. */
export async function enqueue({ outbox }: Pick<HomePaths, 'outbox'>, now: Date, { application, envelope, key }: Omit<Queued, 'name'>): Promise<void> {
  await ensureDurableDirectory(outbox, 0o700);
  const name = `${now.toISOString().replaceAll(/[-:]/g, '')}-${envelopeDigest(envelope).slice(7, 19)}.json`;
  await writeFileDurable(join(outbox, name), `${JSON.stringify({ application, envelope, key })}\n`, 0o600);
}

/** Names of what waits, oldest first. */
export async function waiting({ outbox }: Pick<HomePaths, 'outbox'>): Promise<string[]> {
  const names = await readdir(outbox).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => name.endsWith('.json')).toSorted();
}

/** Sends what waits, oldest first, and stops at the first that the log cannot take now. Two who send at once do no harm. */
export async function sendWaiting(paths: Pick<HomePaths, 'outbox'>, send: (one: Queued) => Promise<unknown>): Promise<Sent> {
  const names = await waiting(paths);
  const refused: { name: string; error: Failure }[] = [];
  let sent = 0;
  for (const [at, name] of names.entries()) {
    try {
      const one = await read(paths, name);
      if (one !== undefined) await send(one);
      await rm(join(paths.outbox, name), { force: true });
      sent++;
    } catch (thrown) {
      const error = asCairnError(thrown);
      if (isOutage(error)) return { sent, left: names.length - at, because: error, refused };
      await rename(join(paths.outbox, name), join(paths.outbox, `${name}.refused`)).catch(() => {});
      refused.push({ name, error });
    }
  }
  return { sent, left: 0, because: undefined, refused };
}

/** Undefined where somebody else sent it in between. */
async function read({ outbox }: Pick<HomePaths, 'outbox'>, name: string): Promise<Queued | undefined> {
  const text = await readFile(join(outbox, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const { application, envelope, key } = schema.parse(JSON.parse(text));
    return { name, application, envelope: parseEnvelope(envelope), key };
  } catch (cause) {
    throw new CairnError('malformed-document', `${join(outbox, name)} is damaged`, { cause, fix: 'Sign it again' });
  }
}
