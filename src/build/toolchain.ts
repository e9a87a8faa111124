import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { access, chmod, mkdir, readdir, readFile, readlink, realpath, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CairnError, digestOf, digestOfStream, type Digest } from '#core';

export interface Tool {
  readonly name: string;
  readonly version: string;
  readonly platform: string | null;
  readonly digest: Digest;
}

export interface Toolchain {
  readonly tools: readonly Tool[];
  readonly nodeBinary: string;
  readonly npmFolder: string;
}

/** Checks the declared versions against what is here and takes the hashes. @throws CairnError `invalid-configuration` */
export async function toolchain(wanted: { node: string }, here: { nodeBinary: string; path: string; platform: string }): Promise<Toolchain> {
  const { stdout } = await promisify(execFile)(here.nodeBinary, ['--version'], { env: {} });
  const version = stdout.trim().slice(1);
  if (version !== wanted.node) {
    throw new CairnError('invalid-configuration', `cairn.yaml asks for Node ${wanted.node}, this Cairn carries ${version}`, { fix: `Set toolchain.node to ${version}` });
  }
  const npmFolder = await findNpm(here.path);
  const manifest = JSON.parse(await readFile(join(npmFolder, 'package.json'), 'utf8')) as { version: string };
  const [node, npm] = await Promise.all([digestOfStream(createReadStream(here.nodeBinary)), treeDigest(npmFolder)]);
  return {
    nodeBinary: here.nodeBinary,
    npmFolder,
    tools: [
      { name: 'node', version, platform: here.platform, digest: node.digest },
      { name: 'npm', version: manifest.version, platform: null, digest: npm },
    ],
  };
}

/** A folder with just the declared tools, to stand first in a stage's PATH. */
export async function installTools(tools: Toolchain, bin: string): Promise<void> {
  await mkdir(bin, { recursive: true });
  await symlink(tools.nodeBinary, join(bin, 'node'));
  for (const [name, script] of [['npm', 'npm-cli.js'], ['npx', 'npx-cli.js']] as const) {
    await writeFile(join(bin, name), `#!/bin/sh\nexec '${join(bin, 'node')}' '${join(tools.npmFolder, 'bin', script)}' "$@"\n`);
    await chmod(join(bin, name), 0o755);
  }
}

async function findNpm(path: string): Promise<string> {
  for (const folder of path.split(delimiter)) {
    const found = await realpath(join(folder, 'npm')).catch(() => undefined);
    if (found === undefined) continue;
    const root = dirname(dirname(found));
    if (await access(join(root, 'bin/npm-cli.js')).then(() => true, () => false)) return root;
  }
  throw new CairnError('invalid-configuration', 'npm is not to be found', { fix: 'Install Node.js with npm' });
}

/** One hash over a folder: each path with its content, in order of paths. Times, owners and modes do not count. */
async function treeDigest(root: string): Promise<Digest> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const lines: string[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    const relative = path.slice(root.length + 1);
    if (entry.isFile()) lines.push(`${relative}\0${digestOf(await readFile(path))}`);
    else if (entry.isSymbolicLink()) lines.push(`${relative}\0-> ${await readlink(path)}`);
  }
  return digestOf(lines.toSorted().join('\n'));
}
