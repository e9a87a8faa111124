import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, isDigest, writeFileDurable } from '#core';
import type { Home } from '#home';
import { currentTrust, parseTrustFile, requireChain, trustDigest, type Trust, type TrustFile } from '#verify';
import type { System } from './context.ts';

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

export async function trustFileOf(system: System, home: Pick<Home, 'paths'>): Promise<TrustFile> {
  return readFile(join(system.directory, 'cairn.trust.json')).then(parseTrustFile, () => ownTrust(home));
}

/** What the home itself holds: the genesis, and the versions that came after it. */
export async function ownTrust(home: Pick<Home, 'paths'>): Promise<TrustFile> {
  const text = await readFile(home.paths.trust, 'utf8').catch((cause: unknown) => {
    throw new CairnError('not-initialized', 'there is no cairn.trust.json here', { cause, fix: 'cairn init' });
  });
  const rotations = await readFile(home.paths.rotations, 'utf8').catch(() => '[]');
  return parseTrustFile(Buffer.from(`{"genesis":${text},"rotations":${rotations}}`));
}
