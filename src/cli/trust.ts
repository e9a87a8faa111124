import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, isDigest, writeFileDurable } from '#core';
import type { Home } from '#home';
import { isConsistent, readCheckpoint, type Checkpoint, type LogVerifier } from '#log';
import { currentTrust, parseTrustFile, requireChain, trustDigest, type Trust, type TrustFile } from '#verify';
import type { System } from './context.ts';
import type { Session } from './session.ts';

/**
 * The trust in force, from the repository's cairn.trust.json; outside of a repository, from this machine's own home. The machine
 * remembers what it saw: a file that is not signed on from there is refused, whoever committed it.
 */
export async function trustOf(system: System, home: Home): Promise<Trust> {
  const file = await trustFileOf(system, home);
  const { origin } = file.genesis;
  const path = join(home.paths.known, `${origin}.trust`);
  const known = (await readFile(path, 'utf8').catch(() => '')).trim();
  const trust = isDigest(known) ? requireChain(known, file) : currentTrust(file);
  if (known !== trustDigest(trust)) await writeFileDurable(path, `${trustDigest(trust)}\n`);
  return trust;
}

export async function trustFileOf(system: System, home: Home): Promise<TrustFile> {
  return parseTrustFile(await readFile(join(system.directory, 'cairn.trust.json')).catch(() => ownTrust(home)));
}

async function ownTrust(home: Home): Promise<Buffer> {
  const text = await readFile(home.paths.trust, 'utf8').catch((cause: unknown) => {
    throw new CairnError('not-initialized', 'there is no cairn.trust.json here', { cause, fix: 'cairn init' });
  });
  return Buffer.from(JSON.stringify({ genesis: JSON.parse(text) as unknown, rotations: [] }));
}

/** Takes a newer checkpoint only if the log grew from the one remembered: a fork or a rewritten past is refused. */
export async function rememberCheckpoint(session: Session, log: LogVerifier, note: string): Promise<Checkpoint> {
  const path = join(session.home.paths.known, `${log.origin}.checkpoint`);
  const next = readCheckpoint(note, log);
  const saved = await readFile(path, 'utf8').catch(() => undefined);
  if (saved !== undefined) {
    const known = readCheckpoint(saved, log);
    const proof = next.size > known.size ? await session.api.consistency(known.size, next.size) : [];
    if (next.size < known.size || !isConsistent(known.size, known.root, next.size, next.root, proof.map((hash) => Buffer.from(hash, 'base64')))) {
      await writeFileDurable(`${path}.refused`, note);
      throw new CairnError('verification-failed', `the log ${log.origin} went back or forked: it showed ${known.size} entries before, now ${next.size} that do not continue them`, {
        fix: `Compare ${path} with ${path}.refused`,
      });
    }
  }
  await writeFileDurable(path, note);
  return next;
}
