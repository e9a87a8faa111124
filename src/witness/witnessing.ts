import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asCairnError, ensureDurableDirectory, Mutex, sha256, writeFileDurable, type CairnError } from '#core';
import { cosignedAt, formatVkey, isSignedBy, linesOf, parseNote, parseTreeHead, parseVkey, type NoteKey } from '#log';
import { Asker, type AskedLog, type WitnessEntry } from './asker.ts';
import type { Cosigned, Trouble } from './question.ts';

export interface WitnessingOptions {
  /** Those of the policy in force. */
  readonly witnesses: () => Promise<readonly { readonly name: string; readonly key: string; readonly url: string }[]>;
  readonly log: AskedLog;
  readonly logKeys: () => readonly NoteKey[];
  /** Where cosignatures are kept, a file a witness. They can be asked for again. */
  readonly folder: string;
  readonly report: (error: CairnError) => void;
}

/** What the witnesses of the policy have said so far. */
interface WitnessedFacts {
  readonly witnessed: { readonly size: number; readonly witnesses: string[] } | null;
  readonly sources: (Trouble & { readonly name: string })[];
}

export interface WitnessView {
  readonly name: string;
  readonly url: string;
  readonly vkey: string;
  readonly cosigned: Cosigned | null;
  readonly trouble: Trouble | null;
}

/**
 * The log's side: after each durable checkpoint the witnesses are asked, the newest only, and what they sign is kept beside it. A witness that is away delays no commit; it is asked again
 * with growing pauses, and at once by a decision that needs it.
 */
export interface Witnessing {
  /** There is a newer checkpoint. Returns at once. */
  nudge(): void;
  /** Whether `threshold` witnesses cosigned a checkpoint of at least `size` entries; those that did not are asked, within the limit. */
  covering(size: number, threshold: number, limitMs: number): Promise<WitnessedFacts>;
  /** The note with the cosignatures of exactly this checkpoint behind the log's own lines. */
  decorate(note: string): string;
  views(): Promise<readonly WitnessView[]>;
  close(): Promise<void>;
}

export async function startWitnessing({ witnesses, log, logKeys, folder, report }: WitnessingOptions): Promise<Witnessing> {
  await ensureDurableDirectory(folder, 0o700);
  const closing = new AbortController();
  let askers: readonly Asker[] = [];
  const turns = new Mutex();
  let nudged = false;

  const fileOf = (key: NoteKey) => join(folder, `${sha256(formatVkey(key)).toString('hex').slice(0, 32)}.checkpoint`);

  /** What does not verify was written by nobody that counts, or by a crash: it is asked for again. */
  async function keptOf(key: NoteKey): Promise<Cosigned | undefined> {
    try {
      const note = await readFile(fileOf(key), 'utf8');
      const parsed = parseNote(note);
      return isSignedBy(parsed, logKeys()) && cosignedAt(parsed, key) !== undefined ? { size: parseTreeHead(parsed.text).size, note } : undefined;
    } catch {
      return undefined;
    }
  }

  /** Askers for exactly the witnesses of the policy in force; who stays keeps what it knows. */
  const current = () => turns.run(reconcile);

  async function reconcile(): Promise<readonly Asker[]> {
    const wanted = new Map((await witnesses()).map((one) => [`${one.name} ${one.key} ${one.url}`, one]));
    const named = (one: Asker) => `${one.entry.name} ${formatVkey(one.entry.key)} ${one.entry.url}`;
    const stay = askers.filter((one) => wanted.has(named(one)));
    for (const one of askers) if (!stay.includes(one)) one.remove();
    const fresh = [...wanted].filter(([name]) => !stay.some((one) => named(one) === name)).map(([, one]) => one);
    const added = await Promise.all(fresh.map(async ({ name, key: vkey, url }) => {
      const entry: WitnessEntry = { name, url, key: parseVkey(vkey) };
      const keep = (cosigned: Cosigned) => writeFileDurable(fileOf(entry.key), cosigned.note).catch((error: unknown) => report(asCairnError(error)));
      return new Asker({ entry, log, kept: await keptOf(entry.key), keep, report, closing: closing.signal });
    }));
    askers = [...stay, ...added];
    return askers;
  }

  function factsAt(all: readonly Asker[], size: number): WitnessedFacts {
    const covers = all.filter((one) => (one.cosigned?.size ?? -1) >= size);
    const any = covers.length > 0 ? covers : all.filter((one) => one.cosigned !== undefined);
    const sizes = any.map((one) => one.cosigned?.size ?? 0);
    return {
      witnessed: any.length === 0 ? null : { size: covers.length > 0 ? Math.min(...sizes) : Math.max(...sizes), witnesses: any.map((one) => one.entry.name) },
      sources: all.filter((one) => !covers.includes(one)).flatMap((one) => (one.trouble === undefined ? [] : [{ name: one.entry.name, ...one.trouble }])),
    };
  }

  return {
    nudge: () => {
      // A log that writes hundreds of checkpoints a second asks for the policy once in a while. Whoever is nudged reads the newest checkpoint then.
      if (nudged) return;
      nudged = true;
      current()
        .finally(() => {
          nudged = false;
        })
        .then((all) => all.forEach((one) => one.nudge()))
        .catch((error: unknown) => report(asCairnError(error)));
    },
    covering: async (size, threshold, limitMs) => {
      const all = await current();
      const missing = () => all.filter((one) => (one.cosigned?.size ?? -1) < size);
      if (limitMs > 0 && all.length - missing().length < threshold) {
        const limit = new AbortController();
        const enough = Promise.withResolvers<void>();
        const asked = missing().map((one) => one.ask().then(() => {
          if (all.length - missing().length >= threshold) enough.resolve();
        }));
        const timer = setTimeout(() => limit.abort(), limitMs);
        await Promise.race([Promise.all(asked), enough.promise, new Promise((resolve) => limit.signal.addEventListener('abort', resolve))]);
        clearTimeout(timer);
      }
      return factsAt(all, size);
    },
    decorate: (note) => {
      const { text } = parseNote(note);
      return note + askers.flatMap(({ cosigned, entry }) => {
        if (cosigned === undefined) return [];
        const kept = parseNote(cosigned.note);
        return kept.text === text ? linesOf(kept, entry.key) : [];
      }).join('');
    },
    views: async () => (await current()).map(({ entry, cosigned = null, trouble = null }) => ({ name: entry.name, url: entry.url, vkey: formatVkey(entry.key), cosigned, trouble })),
    close: async () => {
      closing.abort();
    },
  };
}
