import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { CairnError } from '#core';
import { openHome } from '#home';
import { startRunner } from '#runner';
import { homeDirectory, systemClock } from './system.ts';

/**
 * The runner's process: it owns sockets and applications, and keeps the control server beside it, restarting it whenever it
 * ends. Ends when it is told to, after draining.
 */
export async function up(out: (line: string) => void): Promise<void> {
  const { paths, settings } = await openHome(homeDirectory(process.env));
  const start = systemClock.elapsed();
  const environments = settings.environments.map(({ name, port }) => ({ name, host: settings.host, port }));
  const runner = await startRunner({
    directory: paths.runner, socketPath: paths.socket, environments, clock: systemClock,
    report: (error) => process.stderr.write(`runner ${error.code}: ${error.message}\n`),
  });
  const server = superviseServer((line) => {
    if (!line.startsWith('ready ')) return;
    out(`  registry   http://${settings.host}:${settings.port}/v2/`);
    for (const { name, port } of settings.environments) out(`  ${name.padEnd(10)} http://${settings.host}:${port}`);
    out(`  ledger     ${settings.origin}     ready in ${((systemClock.elapsed() - start) / 1000).toFixed(1)} s`);
  });
  await Promise.race([stopSignal(), server.failed]);
  await server.stop();
  await runner.close();
  await server.failed.catch((error: unknown) => {
    throw error;
  });
}

function superviseServer(onLine: (line: string) => void): { stop(): Promise<void>; failed: Promise<void> } {
  let child: ChildProcess | undefined;
  let stopping = false;
  let everReady = false;
  let giveUp: (error: CairnError | undefined) => void = () => {};
  const failed = new Promise<void>((resolve, reject) => {
    giveUp = (error) => (error === undefined ? resolve() : reject(error));
  });
  failed.catch(() => {});
  const launch = (delay: number) => {
    const born = systemClock.elapsed();
    // Its standard input is a pipe that we hold: should we be killed, it reads the end of it and stops too.
    child = spawn(process.execPath, [join(import.meta.dirname, 'server.ts')], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n').filter((one) => one !== '')) {
        everReady ||= line.startsWith('ready ');
        onLine(line);
      }
    });
    child.once('exit', (code) => {
      child = undefined;
      if (stopping) return giveUp(undefined);
      // What cannot start the first time has a reason that waiting does not mend; it has printed it.
      if (!everReady) return giveUp(new CairnError('unreachable', `the control server did not start (exit ${code})`, { fix: 'See the line above' }));
      const wait = systemClock.elapsed() - born > 10_000 ? 0 : Math.min(delay === 0 ? 50 : delay * 2, 5000);
      setTimeout(() => !stopping && launch(wait), wait);
    });
  };
  launch(0);
  return {
    failed,
    stop: async () => {
      stopping = true;
      if (child === undefined) return giveUp(undefined);
      child.kill('SIGTERM');
      await failed;
    },
  };
}

/** A second signal changes nothing: Ctrl-C reaches every process of the terminal, and one that dies while it drains leaves orphans. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => resolve());
  });
}
