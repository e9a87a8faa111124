import type { CairnError } from '#core';
import { loadSealer, openToPass, type Home } from '#home';
import type { RunnerOptions } from '#runner';
import { readCertificates } from './certificates.ts';
import { systemClock } from './system.ts';

/** The runner of a home, as `cairn up` starts it. @throws CairnError `invalid-configuration` */
export async function runnerOptions(home: Home): Promise<RunnerOptions & { readonly report: (error: CairnError) => void }> {
  const { paths, settings } = home;
  // Homes of before there were users of their own are for us alone; without root nobody else has to pass.
  if (process.getuid?.() === 0) await openToPass(paths);
  const [seal, certificates] = await Promise.all([loadSealer(paths.keys), readCertificates(home)]);
  const environments = settings.environments.map(({ name, port }) => {
    const tls = certificates.get(name);
    return { name, host: settings.host, port, ...(tls !== undefined && { tls }) };
  });
  return {
    directory: paths.runner, socketPath: paths.socket, data: paths.data, users: paths.isolation, seal, environments, clock: systemClock,
    report: (error) => process.stderr.write(`runner ${error.code}: ${error.message}\n`),
  };
}
