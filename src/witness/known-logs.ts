import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, writeFileDurable } from '#core';
import { parseVkey, formatVkey, type NoteKey } from '#log';

/** The keys of each log, by origin: its key's name. */
export type KnownLogs = ReadonlyMap<string, readonly NoteKey[]>;

const mostLogs = 1000;

/**
 * Reads lines `log VKEY [URL]` of C2SP tlog-policy; a log with several keys has several lines. Lines of witnesses, groups and a quorum are for others and passed over, so that one file serves both.
 * @throws CairnError `invalid-configuration`
 */
export function parseLogs(text: string, from: string): KnownLogs {
  const found = new Map<string, NoteKey[]>();
  const seen = new Map<string, number>();
  for (const [at, line] of text.split('\n').entries()) {
    const [word, vkey = '', ...rest] = line.split(/[ \t]+/).filter((one) => one !== '');
    const refuse = (why: string, cause?: unknown) => new CairnError('invalid-configuration', `${from}, line ${at + 1}: ${why}`, { cause, fix: 'A line is: log VKEY, as the log prints it' });
    if (word === undefined || word.startsWith('#') || ['witness', 'group', 'quorum'].includes(word)) continue;
    if (word !== 'log' || rest.length > 1) throw refuse('it is no line of a log');
    let key: NoteKey;
    try {
      key = parseVkey(vkey);
    } catch (cause) {
      throw refuse((cause as Error).message, cause);
    }
    const before = seen.get(formatVkey(key).split('+').at(-1) ?? '');
    if (before !== undefined) throw refuse(`the key stands in line ${before} too; one key, one log`);
    seen.set(formatVkey(key).split('+').at(-1) ?? '', at + 1);
    if (seen.size > mostLogs) throw refuse(`more than ${mostLogs} logs`);
    found.set(key.name, [...(found.get(key.name) ?? []), key]);
  }
  return found;
}

/**
 * The file `logs` of the witness's folder. What is added is written to it for the next start, and takes the place of the keys that it had for the same log: a key that a log has given up
 * must not speak for it on. @throws CairnError `invalid-configuration`
 */
export async function knownLogs(folder: string, added: readonly NoteKey[]): Promise<KnownLogs> {
  const path = join(folder, 'logs');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const known = parseLogs(text, path);
  const wanted = new Set(added.map(formatVkey));
  const names = new Set(added.map(({ name }) => name));
  const kept = text.split('\n').filter((line) => line !== '' && !names.has(/^\s*log\s+([^\s+]+)\+/.exec(line)?.[1] ?? ''));
  const whole = [...kept, ...[...wanted].map((one) => `log ${one}`), ''].join('\n');
  const all = parseLogs(whole, path);
  if (wanted.size === 0 || [...names].every((name) => sameKeys(known.get(name), all.get(name)))) return known;
  await writeFileDurable(path, whole);
  return all;
}

function sameKeys(before: readonly NoteKey[] = [], after: readonly NoteKey[] = []): boolean {
  return before.length === after.length && before.every((key, at) => formatVkey(key) === formatVkey(after[at] ?? key));
}
