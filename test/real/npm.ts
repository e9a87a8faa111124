import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** package.json and a lockfile without addresses, made by npm itself: what it would resolve to is pinned, from wherever it is fetched. */
export async function lock(folder: string, manifest: object): Promise<void> {
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  await execute('npm', ['install', '--package-lock-only', '--omit-lockfile-registry-resolved', '--no-audit', '--no-fund'], { cwd: folder });
  if ((await readFile(join(folder, 'package-lock.json'), 'utf8')).includes('"resolved"')) throw new Error('npm wrote addresses into the lockfile');
}

/** `npm publish` to a registry that asks nobody who they are; npm itself insists on some token. */
export async function publish(folder: string, registry: string): Promise<void> {
  await execute('npm', ['publish', `--registry=${registry}`, `--${registry.replace('http:', '')}/:_authToken=anybody`], { cwd: folder });
}

export async function install(folder: string, name: string, registry: string): Promise<void> {
  await execute('npm', ['install', name, `--registry=${registry}`, '--no-audit', '--no-fund', '--no-save'], { cwd: folder });
}
