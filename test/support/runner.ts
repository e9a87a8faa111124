import { openHome } from '#home';
import { startRunner } from '#runner';
import { homeDirectory, systemClock } from '../../src/main/system.ts';

// The runner as `cairn up` starts it, but with nobody who restarts the control server: the tests do that themselves.

const { paths, settings } = await openHome(homeDirectory(process.env));
const runner = await startRunner({
  directory: paths.runner,
  socketPath: paths.socket,
  environments: settings.environments.map(({ name, port }) => ({ name, host: settings.host, port })),
  clock: systemClock,
  drainMs: 2000,
  report: (error) => process.stderr.write(`${error.code}: ${error.message}\n`),
});
process.stdout.write('ready\n');

let stopping = false;
async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await runner.close();
  process.exit(0);
}
process.once('SIGTERM', () => void stop());
// The test holds the other end: should it be killed, nothing is left behind.
process.stdin.resume().once('end', () => void stop());
