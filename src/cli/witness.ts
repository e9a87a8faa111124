import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asCairnError, CairnError } from '#core';
import { algorithms, makeEvidence, noteKey, parseVkey, type NoteKey } from '#log';
import { currentTrust, parseTrustFile, verifierOf } from '#verify';
import { addCheckpoint, knownLogs, openFolder, serveWitness, type WitnessOptions } from '#witness';
import type { Context, System } from './context.ts';
import { keepEvidence } from './keep-evidence.ts';
import { count, row, run, type CommonFlags } from './output.ts';

export interface WitnessFlags extends CommonFlags {
  readonly home?: string;
  readonly name?: string;
  readonly host?: string;
  readonly port?: number;
  readonly log?: readonly string[];
}

/** Not within the home: a backup of it, put back, must not set the witness back. */
const folderOf = (system: System, flags: WitnessFlags) => flags.home ?? `${system.home}-witness`;
const ownPort = 6962;

/** Runs a witness until it is told to stop. It stands alone: its folder, its key, the logs that it was told of, what it has seen of them. */
export async function witness(this: Context, flags: WitnessFlags): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const folder = folderOf(system, flags);
    const port = flags.port ?? ownPort;
    if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new CairnError('usage', `--port is ${port}, which is no port`, { fix: 'Give a number from 1 to 65535' });
    const added = (await Promise.all((flags.log ?? []).map(keysOf))).flat();
    const { key, seen } = await openFolder(folder, flags.name, (bytes) => system.random(bytes), system.faults);
    const told = system.untilInterrupted();
    try {
      const logs = await knownLogs(folder, added);
      const options: WitnessOptions = { key, logs, seen, clock: system.clock, faults: system.faults, misbehaved: (found) => void keep(system, folder, found) };
      const server = await serveWitness({ host: flags.host ?? '127.0.0.1', port, add: (body) => addCheckpoint(options, body), report: (error) => system.err(`witness ${error.code}: ${error.message}`) });
      try {
        const known = new Map(seen.all().map((one) => [one.origin, one]));
        const list = [...logs.keys()].map((origin) => ({ origin, size: known.get(origin)?.size ?? 0 }));
        if (flags.json) system.out(JSON.stringify({ name: key.name, vkey: key.vkey, url: server.url, home: folder, logs: list }, null, 2));
        else {
          row(this, 'witness', key.vkey);
          for (const { origin, size } of list) row(this, 'log', origin, size === 0 ? 'not seen yet' : `${count(size, 'entry', 'entries')} seen`);
          if (list.length === 0) row(this, 'log', 'none yet', 'cairn witness --log VKEY, or the path of a cairn.trust.json');
          row(this, 'ready', server.url);
        }
        await new Promise<void>((resolve) => (told.aborted ? resolve() : told.addEventListener('abort', () => resolve(), { once: true })));
      } finally {
        await server.close();
      }
    } finally {
      seen.close();
    }
    return undefined;
  });
}

/** A log's verifier key, or the path of its cairn.trust.json, which has it. */
async function keysOf(text: string): Promise<NoteKey[]> {
  if (/^[^\s+]+\+[0-9a-f]{8}\+/.test(text)) return [parseVkey(text)];
  const bytes = await readFile(text).catch((cause: unknown) => {
    throw new CairnError('usage', `${text} is neither a verifier key nor a file that can be read`, { cause, fix: 'Give a key, NAME+8 hex digits+base64, or the path of a cairn.trust.json' });
  });
  const { origin, log } = verifierOf(currentTrust(parseTrustFile(bytes)));
  // The one that it signs with now: those that it had before have said what they had to say.
  return [noteKey(origin, algorithms.ed25519, log)];
}

/** Both checkpoints, so that the log's own users can be shown what it did. */
async function keep(system: System, folder: string, { origin, before, now, proof }: Parameters<WitnessOptions['misbehaved']>[0]): Promise<void> {
  try {
    const file = await keepEvidence(join(folder, 'evidence'), makeEvidence({ origin, earlier: before, later: now, proof, witnesses: [] }));
    system.err(`witness verification-failed: ${origin} signed ${proof === null ? 'two different trees of one size' : 'a tree whose past is another than it was'}; both checkpoints are in ${file}`);
  } catch (error) {
    system.err(`witness ${asCairnError(error).code}: ${asCairnError(error).message}`);
  }
}
