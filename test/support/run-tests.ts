import { spawn } from 'node:child_process';
import { accessSync, chmodSync, constants, copyFileSync, linkSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

// Runs node --test with the parameters given. As root, tests start processes under users of their own with this very Node: where
// its folder is closed to other users (a clone below a 0700 folder), the tests run with another name of the same file.

function closed(path: string): boolean {
  for (let folder = dirname(path); folder !== '/'; folder = dirname(folder)) if ((statSync(folder).mode & 0o001) === 0) return true;
  return false;
}

let node = process.execPath;
if (process.getuid?.() === 0 && closed(node)) {
  const folder = mkdtempSync('/tmp/cairn-node-');
  chmodSync(folder, 0o755);
  const named = join(folder, 'node');
  try {
    linkSync(node, named);
  } catch {
    copyFileSync(node, named);
    chmodSync(named, 0o755);
  }
  accessSync(named, constants.X_OK);
  node = named;
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
}
const child = spawn(node, ['--test', ...process.argv.slice(2)], { stdio: 'inherit' });
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
child.once('exit', (code, signal) => {
  process.exitCode = code ?? (signal === null ? 1 : 128);
});
