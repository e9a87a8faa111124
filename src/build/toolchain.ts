import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { access, chmod, constants, copyFile, mkdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CairnError, canonicalJson, digestOf, digestOfStream, exists, type Digest } from '#core';
import { reachable } from '#isolation';
import { treeDigest } from './tree-digest.ts';

export interface Tool {
  readonly name: string;
  readonly version: string;
  readonly platform: string | null;
  readonly digest: Digest;
}

export interface Toolchain {
  readonly tools: readonly Tool[];
  /** The Node that was hashed, if one is declared. */
  readonly node: { readonly path: string; readonly digest: Digest } | undefined;
  /** What the tools need to be told. */
  readonly environment: Readonly<Record<string, string>>;
  /** Network settings that the tools themselves are configured with. */
  readonly configured: Readonly<Record<string, string>>;
}

export interface Here {
  readonly nodeBinary: string;
  readonly host: Readonly<Record<string, string | undefined>>;
  /** `linux/amd64` */
  readonly platform: string;
  /** Where to put the tools for stages to run; undefined where no stage runs anything. */
  readonly install: { readonly workspace: string; readonly othersRun: boolean } | undefined;
}

/**
 * Checks the declared versions against what is here and takes the hashes. Node is copied, and hashed as the copy: what was hashed is
 * what runs, at a path that is the same on every machine, since native modules write it into what they build. @throws CairnError `invalid-configuration`
 */
export async function toolchain(wanted: { readonly node?: string | undefined; readonly go?: string | undefined }, here: Here): Promise<Toolchain> {
  if (here.install !== undefined) {
    const bin = join(here.install.workspace, 'bin');
    await mkdir(bin);
    await chmod(bin, 0o755);
  }
  const node = wanted.node === undefined ? undefined : await nodeTools(wanted.node, here);
  const go = wanted.go === undefined ? undefined : await goTools(wanted.go, here);
  return {
    tools: [...(node?.tools ?? []), ...(go === undefined ? [] : [go.tool])],
    node: node?.binary,
    environment: go?.environment ?? {},
    configured: go?.configured ?? {},
  };
}

async function nodeTools(wanted: string, { nodeBinary, host, platform, install }: Here): Promise<{ tools: Tool[]; binary: { path: string; digest: Digest } }> {
  const version = (await ask(nodeBinary, ['--version'], {})).slice(1);
  if (version !== wanted)
    throw new CairnError('invalid-configuration', `cairn.yaml asks for Node ${wanted}, this Cairn carries ${version}`, {
      fix: `Set toolchain.node to ${version}`,
    });
  const from = await findNpm(host['PATH'] ?? '/usr/bin:/bin');
  const manifest = JSON.parse(await readFile(join(from, 'package.json'), 'utf8')) as { version: string };
  const bin = install && join(install.workspace, 'bin');
  const path = bin === undefined ? nodeBinary : join(bin, 'node');
  // Copied only where the stages' user could not get to it: two thousand files take longer than all else here.
  const closed = install?.othersRun === true && !(await reachable(from));
  const npmFolder = closed && install !== undefined ? join(install.workspace, 'npm') : from;
  if (bin !== undefined) {
    await copyFile(nodeBinary, path, constants.COPYFILE_FICLONE);
    await chmod(path, 0o755);
    for (const [name, script] of [
      ['npm', 'npm-cli.js'],
      ['npx', 'npx-cli.js'],
    ] as const) {
      await writeFile(join(bin, name), `#!/bin/sh\nexec '${path}' '${join(npmFolder, 'bin', script)}' "$@"\n`);
      await chmod(join(bin, name), 0o755);
    }
  }
  const [node, npm] = await Promise.all([digestOfStream(createReadStream(path)), treeDigest(from, { copyTo: closed ? npmFolder : undefined })]);
  return {
    binary: { path, digest: node.digest },
    tools: [
      { name: 'node', version, platform, digest: node.digest },
      { name: 'npm', version: manifest.version, platform: null, digest: npm },
    ],
  };
}

/**
 * Go from the PATH. Its hash is one over the command, the compiler and linker behind it, and the standard library that they
 * compile in. It is not copied: paths of its own do not reach what it makes with -trimpath.
 */
async function goTools(
  wanted: string,
  { host, platform, install }: Here,
): Promise<{ tool: Tool; environment: Record<string, string>; configured: Record<string, string> }> {
  const path = host['PATH'] ?? '/usr/bin:/bin';
  const binary = await findProgram('go', path);
  if (binary === undefined)
    throw new CairnError('invalid-configuration', `cairn.yaml asks for Go ${wanted}, and go is not to be found`, {
      fix: `Install Go ${wanted}, and have go in the PATH`,
    });
  const own = { PATH: path, HOME: host['HOME'] ?? '/nonexistent', GOTOOLCHAIN: 'local', ...(host['GOENV'] !== undefined && { GOENV: host['GOENV'] }) };
  const names = ['GOPROXY', 'GOSUMDB', 'GONOSUMDB', 'GONOPROXY', 'GOPRIVATE', 'GOINSECURE'];
  const told = JSON.parse(await ask(binary, ['env', '-json', 'GOROOT', 'GOVERSION', ...names], own)) as Record<string, string>;
  const version = (told['GOVERSION'] ?? '').replace(/^go/, '');
  if (version !== wanted)
    throw new CairnError('invalid-configuration', `cairn.yaml asks for Go ${wanted}, ${binary} is ${version}`, {
      fix: `Set toolchain.go to ${version}, or install Go ${wanted}`,
    });
  const root = await realpath(told['GOROOT'] ?? '');
  if (install?.othersRun === true && !(await reachable(root)))
    throw new CairnError('invalid-configuration', `stages run as a user of their own, who may not enter ${root}`, {
      fix: `Install Go where all may read it, such as /usr/local/go`,
    });
  const [os = '', architecture = ''] = platform.split('/');
  const isTest = /_test\.go$|(^|\/)testdata\//;
  const parts = {
    go: (await digestOfStream(createReadStream(join(root, 'bin/go')))).digest,
    tools: await treeDigest(join(root, 'pkg/tool', `${os}_${architecture}`)),
    library: await treeDigest(join(root, 'src'), { except: isTest }),
  };
  if (install !== undefined) await symlink(join(root, 'bin/go'), join(install.workspace, 'bin/go'));
  const home = install === undefined ? '' : join(install.workspace, 'home');
  return {
    tool: { name: 'go', version, platform, digest: digestOf(canonicalJson(parts)) },
    environment: {
      GOROOT: root,
      GOTOOLCHAIN: 'local',
      GOENV: 'off',
      GOTELEMETRY: 'off',
      GOFLAGS: '-trimpath -modcacherw -buildvcs=false',
      CGO_ENABLED: '0',
      GOOS: os,
      GOARCH: architecture,
      GOAMD64: 'v1',
      GOARM64: 'v8.0',
      GOPATH: join(home, 'go'),
      GOCACHE: join(home, '.cache/go-build'),
      GOPROXY: 'off',
      // Looked for upwards otherwise, into folders that are not the build's.
      GOWORK: install !== undefined && (await exists(join(install.workspace, 'source/go.work'))) ? join(install.workspace, 'source/go.work') : 'off',
    },
    configured: Object.fromEntries(names.flatMap((name) => (told[name] === undefined || told[name] === '' ? [] : [[name, told[name]]]))),
  };
}

async function ask(program: string, parameters: readonly string[], env: Record<string, string>): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [...parameters], { env });
  return stdout.trim();
}

async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    const found = join(folder, name);
    if (
      folder !== '' &&
      (await access(found, constants.X_OK).then(
        () => true,
        () => false,
      ))
    )
      return found;
  }
  return undefined;
}

async function findNpm(path: string): Promise<string> {
  for (const folder of path.split(delimiter)) {
    const found = await realpath(join(folder, 'npm')).catch(() => undefined);
    if (found === undefined) continue;
    const root = dirname(dirname(found));
    if (
      await access(join(root, 'bin/npm-cli.js')).then(
        () => true,
        () => false,
      )
    )
      return root;
  }
  throw new CairnError('invalid-configuration', 'npm is not to be found', { fix: 'Install Node.js with npm' });
}
