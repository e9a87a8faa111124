import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StoredRelease } from '#ledger';
import type { System } from './context.ts';
import { near } from './quick.ts';

interface Known {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly releases: readonly StoredRelease[];
}

const most = 20;
/** A shell asks at every key: the server is asked again only after this. */
const freshMs = 10_000;

/**
 * What a shell may offer: environments from the settings, the newest releases from a file that is renewed from the server where one
 * answers. Nothing that goes wrong here is worth a word: there is then just nothing to offer.
 */
export async function proposals(system: System, kind: 'digest' | 'environment' | 'reference', partial: string): Promise<readonly string[]> {
  try {
    const place = await near(system);
    const names = place.environments.map(({ name }) => name);
    const environments = kind === 'digest' ? [] : kind === 'environment' ? names : [...names, ...names.map((name) => `${name}~1`)];
    const digests = kind === 'environment' ? [] : (await recent(system, () => place.server<StoredRelease[]>(`/api/v1/releases?limit=${most}`))).map(({ release }) => release.slice(7, 19));
    return [...environments, ...digests].filter((one) => one.startsWith(partial));
  } catch {
    return [];
  }
}

async function recent({ home, clock }: System, ask: () => Promise<StoredRelease[]>): Promise<readonly StoredRelease[]> {
  const path = join(home, 'known', 'recent.json');
  const now = clock.now().getTime();
  const known = read(path);
  if (known !== undefined && Math.abs(now - known.at) < freshMs) return known.releases;
  const releases = await ask().catch(() => undefined);
  if (releases === undefined) return known?.releases ?? [];
  mkdirSync(join(home, 'known'), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify({ at: now, releases } satisfies Known), { mode: 0o600 });
  renameSync(temporary, path);
  return releases;
}

function read(path: string): Known | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Known;
  } catch {
    return undefined;
  }
}
