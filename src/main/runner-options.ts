import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CairnError } from '#core';
import { loadSealer, openToPass, type Home } from '#home';
import type { RunnerEnvironment, RunnerOptions } from '#runner';
import { systemClock } from './system.ts';

/** The runner of a home, as `cairn up` starts it. */
export async function runnerOptions(home: Home): Promise<RunnerOptions> {
  const { paths } = home;
  // Homes of before there were users of their own are for us alone; without root nobody else has to pass.
  if (process.getuid?.() === 0) await openToPass(paths);
  const [seal, environments] = await Promise.all([loadSealer(paths.keys), runnerEnvironments(home)]);
  return {
    directory: paths.runner, socketPath: paths.socket, data: paths.data, users: paths.isolation, seal, environments, clock: systemClock,
    report: (error) => process.stderr.write(`runner ${error.code}: ${error.message}\n`),
  };
}

/** @throws CairnError `invalid-configuration` */
async function runnerEnvironments({ settings, paths }: Home): Promise<RunnerEnvironment[]> {
  return Promise.all(
    settings.environments.map(async ({ name, port, tls }) => {
      const read = (what: string, path: string) =>
        readFile(resolve(paths.root, path), 'utf8').catch((cause: unknown) => {
          throw new CairnError('invalid-configuration', `the TLS ${what} of ${name}, ${path}, can't be read`, { fix: `Correct tls of ${name} in ${paths.settings}`, cause });
        });
      const pem = tls === undefined ? undefined : { cert: await read('certificate', tls.cert), key: await read('key', tls.key) };
      return { name, host: settings.host, port, ...(pem !== undefined && { tls: pem }) };
    }),
  );
}
