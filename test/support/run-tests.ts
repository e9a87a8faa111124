import { spawn } from 'node:child_process';
import { openNode } from './open-node.ts';

// Runs node --test with the parameters given, by a name of Node that other users can run.

const child = spawn(openNode(), ['--test', ...process.argv.slice(2)], { stdio: 'inherit' });
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
child.once('exit', (code, signal) => {
  process.exitCode = code ?? (signal === null ? 1 : 128);
});
