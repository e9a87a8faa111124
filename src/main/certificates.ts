import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { asCairnError, CairnError } from '#core';
import type { Home } from '#home';
import type { Runner, RunnerEnvironment } from '#runner';

type Tls = NonNullable<RunnerEnvironment['tls']>;

/** Of each environment that has them: PEM texts. @throws CairnError `invalid-configuration` */
export async function readCertificates({ settings, paths }: Home): Promise<ReadonlyMap<string, Tls>> {
  const found = new Map<string, Tls>();
  for (const { name, tls } of settings.environments) {
    if (tls === undefined) continue;
    const read = (what: string, path: string) =>
      readFile(resolve(paths.root, path), 'utf8').catch((cause: unknown) => {
        throw new CairnError('invalid-configuration', `the TLS ${what} of ${name}, ${path}, can't be read`, { fix: `Correct tls of ${name} in ${paths.settings}`, cause });
      });
    found.set(name, { cert: await read('certificate', tls.cert), key: await read('key', tls.key) });
  }
  return found;
}

/**
 * Certificates are renewed by others, in their files: what changed there is taken, without a connection lost. One that can't be
 * used, such as half of a pair that is just being written, is told, and what is there serves on. Returns how to end it.
 */
export function renewCertificates(home: Home, runner: Pick<Runner, 'setTls'>, report: (error: CairnError) => void, everyMs = 60_000): () => void {
  const known = new Map<string, string>();
  const look = async (): Promise<void> => {
    for (const [name, tls] of await readCertificates(home)) {
      const text = tls.cert + tls.key;
      const before = known.get(name);
      known.set(name, text);
      if (before !== undefined && before !== text) runner.setTls(name, tls);
    }
  };
  if (!home.settings.environments.some(({ tls }) => tls !== undefined)) return () => {};
  const tell = (error: unknown): void => report(asCairnError(error));
  void look().catch(tell);
  const timer = setInterval(() => void look().catch(tell), everyMs);
  return () => clearInterval(timer);
}
