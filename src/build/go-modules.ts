import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, exists } from '#core';
import { nothingLocked, type Locked, type Package } from './package.ts';

/**
 * The modules that go.mod requires, each with its hash from go.sum (golang.org/ref/mod). Read from the commit before any stage
 * runs. @throws CairnError `lockfile-missing`, `invalid-configuration`
 */
export async function goModules(source: string): Promise<Locked> {
  const text = await readFile(join(source, 'go.mod'), 'utf8').catch(() => undefined);
  if (text === undefined) return nothingLocked;
  const { required, replaced } = readGoMod(text);
  const sums = await readFile(join(source, 'go.sum'), 'utf8').catch(() => undefined);
  // Vendored modules are in the commit, which binds them.
  const vendored = await exists(join(source, 'vendor/modules.txt'));
  const hashes = new Map(
    (sums ?? '')
      .split('\n')
      .map((line) => line.split(' '))
      .flatMap(([path, version, hash]) => (hash?.startsWith('h1:') === true ? [[`${path} ${version}`, hash.slice(3)] as const] : [])),
  );
  const packages = required.flatMap((one): Package[] => {
    const other = replaced.get(`${one.path} ${one.version}`) ?? replaced.get(one.path);
    if (other === null) return [];
    const { path, version } = other ?? one;
    const hash = hashes.get(`${path} ${version}`);
    if (hash === undefined && !vendored) throw missing(path, version, sums);
    // The spec of package URLs has Go's in lower case.
    const purl = `pkg:golang/${path.toLowerCase()}@${encodeURIComponent(version)}`;
    return [
      {
        purl,
        name: path,
        version,
        digest: hash === undefined ? {} : { dirHash1: Buffer.from(hash, 'base64').toString('hex') },
        license: undefined,
        runtime: true,
        dependsOn: [],
      },
    ];
  });
  const direct = new Set(required.filter((one) => !one.indirect).map((one) => (replaced.get(one.path) ?? one).path.toLowerCase()));
  return {
    packages: packages.toSorted((a, b) => (a.purl < b.purl ? -1 : 1)),
    direct: packages
      .filter(({ name }) => direct.has(name.toLowerCase()))
      .map(({ purl }) => purl)
      .toSorted(),
  };
}

function missing(path: string, version: string, sums: string | undefined): CairnError {
  const fix = 'go mod tidy, then commit go.mod and go.sum';
  if (sums === undefined)
    return new CairnError('lockfile-missing', 'go.mod requires modules, and the commit has no go.sum: what they would be is not known', { fix });
  return new CairnError('invalid-configuration', `go.sum has no hash for ${path} ${version}: whatever the proxy serves would be taken`, { fix });
}

interface Required {
  readonly path: string;
  readonly version: string;
  readonly indirect: boolean;
}

/** `replaced` is by path, or by path and version; null where a folder of the commit takes the place. */
function readGoMod(text: string): { required: Required[]; replaced: Map<string, { path: string; version: string } | null> } {
  const required: Required[] = [];
  const replaced = new Map<string, { path: string; version: string } | null>();
  let block: string | undefined;
  for (const line of text.split('\n')) {
    const indirect = /\/\/\s*indirect\b/.test(line);
    const words = line
      .replace(/\/\/.*$/, '')
      .trim()
      .split(/\s+/)
      .filter((word) => word !== '')
      .map((word) => word.replace(/^["`](.*)["`]$/, '$1'));
    if (words[0] === ')') {
      block = undefined;
      continue;
    }
    if (words[1] === '(') {
      block = words[0];
      continue;
    }
    const [verb, ...rest] = block === undefined ? words : [block, ...words];
    if (verb === 'require' && rest.length === 2) required.push({ path: rest[0] ?? '', version: rest[1] ?? '', indirect });
    if (verb !== 'replace') continue;
    const arrow = rest.indexOf('=>');
    const [path, version] = rest.slice(arrow + 1);
    if (arrow > 0) replaced.set(rest.slice(0, arrow).join(' '), version === undefined ? null : { path: path ?? '', version });
  }
  return { required, replaced };
}
