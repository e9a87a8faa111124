import { openHome } from '#home';
import { startRunner } from '#runner';
import { renewCertificates } from './certificates.ts';
import { runnerOptions } from './runner-options.ts';
import { settle } from './settle.ts';
import { SupervisedServer } from './supervise.ts';
import { homeDirectory, systemClock } from './system.ts';

/**
 * The runner's process: it owns sockets and applications, and keeps the control server beside it. Both start at the same time, as
 * soon as the home is known to be ours alone. Ends when it is told to, after draining.
 */
export async function up(out: (line: string) => void): Promise<void> {
  const told = stopSignal();
  const home = await openHome(homeDirectory(process.env));
  const { settings } = home;
  const options = await runnerOptions(home);
  const server = new SupervisedServer();
  let runner;
  try {
    runner = await startRunner({ ...options, locked: () => server.start() });
  } catch (error) {
    await server.stop();
    throw error;
  }
  const endRenewals = renewCertificates(home, runner, options.report);
  try {
    const outcome = await Promise.race([server.ready.then(() => 'ready'), server.ended, told]);
    if (outcome === 'ready') {
      out(`  registry   http://${settings.host}:${settings.port}/v2/`);
      for (const { name, port, tls } of settings.environments) out(`  ${name.padEnd(10)} http${tls === undefined ? '' : 's'}://${settings.host}:${port}`);
      out(`  sigstore   ${home.paths.sigstore}     for cosign: --trusted-root, --signing-config`);
      // Since the process began: what a person waits for.
      out(`  ledger     ${settings.origin}     ready in ${(systemClock.elapsed() / 1000).toFixed(1)} s`);
      settle();
      await Promise.race([told, server.ended]);
    }
  } finally {
    endRenewals();
    await server.stop();
    await runner.close();
  }
}

/** A second signal changes nothing: Ctrl-C reaches every process of the terminal, and one that dies while it drains leaves orphans. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => resolve());
  });
}
