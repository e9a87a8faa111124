import { openHome } from '#home';
import { startRunner } from '#runner';
import { runnerOptions } from '../../src/main/runner-options.ts';
import { homeDirectory } from '../../src/main/system.ts';

// The runner as `cairn up` starts it, but with nobody who restarts the control server: the tests do that themselves.

const runner = await startRunner({ ...(await runnerOptions(await openHome(homeDirectory(process.env)))), drainMs: 2000 });
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
