import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CairnError } from '#core';
import { nothingLocked, type Locked, type Package } from './package.ts';

const some = z.union([z.string().transform((one) => [one]), z.array(z.string())]).optional();
const names = z.record(z.string(), z.unknown()).optional();
/** Of an entry of the lockfile, and of package.json: npm-docs "package-lock.json". */
const entrySchema = z.looseObject({
  name: z.string().optional(),
  version: z.string().optional(),
  resolved: z.union([z.string(), z.boolean()]).optional(),
  integrity: z.string().optional(),
  license: z.unknown().optional(),
  dev: z.boolean().optional(),
  devOptional: z.boolean().optional(),
  optional: z.boolean().optional(),
  link: z.boolean().optional(),
  inBundle: z.boolean().optional(),
  os: some,
  cpu: some,
  dependencies: names,
  optionalDependencies: names,
  peerDependencies: names,
  devDependencies: names,
});
const lockSchema = z.looseObject({ packages: z.record(z.string(), entrySchema).optional() });
type Entry = z.infer<typeof entrySchema>;
type Entries = Readonly<Record<string, Entry>>;

/**
 * What npm's lockfile binds, each by its hash. Read from the commit before any stage runs: what the provenance says was locked must
 * be what was committed. @throws CairnError `lockfile-missing`, `invalid-configuration`
 */
export async function npmLock(source: string, platform: string): Promise<Locked> {
  const read = (name: string) => readFile(join(source, name), 'utf8').catch(() => undefined);
  const name = (await read('npm-shrinkwrap.json')) === undefined ? 'package-lock.json' : 'npm-shrinkwrap.json';
  const [manifest, lockfile] = [await read('package.json'), await read(name)];
  const wants = manifest === undefined ? {} : parse(manifest, 'package.json', entrySchema);
  const wanted = Object.keys({ ...wants.dependencies, ...wants.optionalDependencies, ...wants.devDependencies });
  if (lockfile === undefined) {
    if (wanted.length === 0) return nothingLocked;
    throw new CairnError(
      'lockfile-missing',
      `package.json wants ${wanted.length} packages, and the commit has no package-lock.json: what they would be is not known`,
      {
        fix: 'npm install --package-lock-only, then commit package-lock.json',
      },
    );
  }
  const { packages } = parse(lockfile, name, lockSchema);
  if (packages === undefined)
    throw new CairnError('invalid-configuration', `${name} is of the first version, without packages`, {
      fix: 'npm install --package-lock-only --lockfile-version 3, then commit it',
    });
  return lockedIn(packages, name, platform);
}

/** purls of what npm says that it installed. A stage may write there what it likes: it only chooses among what is locked. */
export async function installedIn(source: string): Promise<string[]> {
  const text = await readFile(join(source, 'node_modules/.package-lock.json'), 'utf8').catch(() => '{}');
  try {
    const { packages = {} } = lockSchema.parse(JSON.parse(text));
    return Object.entries(packages).flatMap(([path, entry]) => purlOf(path, entry) ?? []);
  } catch {
    return [];
  }
}

function lockedIn(entries: Entries, file: string, platform: string): Locked {
  const found = new Map<string, Package>();
  for (const [path, entry] of Object.entries(entries)) {
    const purl = purlOf(path, entry);
    if (purl === undefined || !fits(entry, platform)) continue;
    const digest = hashOf(path, entry, file);
    const before = found.get(purl);
    const dependsOn = [...new Set([...(before?.dependsOn ?? []), ...neededBy(path, entry, entries, platform)])].toSorted();
    const license = typeof entry.license === 'string' ? entry.license : undefined;
    const runtime = entry.dev !== true || before?.runtime === true;
    found.set(purl, { purl, name: nameOf(path, entry), version: entry.version ?? '', digest, license, runtime, dependsOn });
  }
  const own = Object.entries(entries).filter(([path]) => !path.includes('node_modules/'));
  const direct = [...new Set(own.flatMap(([path, entry]) => neededBy(path, entry, entries, platform)))].toSorted();
  return { packages: [...found.values()].toSorted((a, b) => (a.purl < b.purl ? -1 : 1)), direct };
}

/** An alias stands in the path; the package's own name beside it. */
function nameOf(path: string, entry: Entry): string {
  return entry.name ?? path.split('node_modules/').at(-1) ?? '';
}

/** Nothing for what is the commit's own: the application, its workspaces and the links to them. */
function purlOf(path: string, entry: Entry): string | undefined {
  if (!path.includes('node_modules/') || entry.link === true || entry.version === undefined) return undefined;
  return `pkg:npm/${nameOf(path, entry).replace('@', '%40')}@${encodeURIComponent(entry.version)}`;
}

/** An optional package for another platform is not fetched, and no part of what runs. */
function fits(entry: Entry, platform: string): boolean {
  if (entry.optional !== true && entry.devOptional !== true) return true;
  const [os = '', architecture = ''] = platform.split('/');
  const cpu = architecture === 'amd64' ? 'x64' : architecture;
  const allows = (names: readonly string[] | undefined, one: string) =>
    names === undefined || (!names.includes(`!${one}`) && (names.includes(one) || names.every((name) => name.startsWith('!'))));
  return allows(entry.os, os) && allows(entry.cpu, cpu);
}

function hashOf(path: string, entry: Entry, file: string): Record<string, string> {
  // The strongest of several (Subresource Integrity), without the options that may follow it.
  const hashes = (entry.integrity ?? '').split(/\s+/).flatMap((one) => {
    const match = /^(sha512|sha384|sha256|sha1)-([A-Za-z0-9+/=]+)/.exec(one);
    return match === null ? [] : [{ algorithm: match[1] ?? '', hex: Buffer.from(match[2] ?? '', 'base64').toString('hex') }];
  });
  const order = ['sha512', 'sha384', 'sha256', 'sha1'];
  const [best] = hashes.toSorted((a, b) => order.indexOf(a.algorithm) - order.indexOf(b.algorithm));
  if (best !== undefined) return { [best.algorithm]: best.hex };
  const from = typeof entry.resolved === 'string' ? entry.resolved : '';
  const commit = /^git\+.*#([0-9a-f]{40})$/.exec(from)?.[1];
  if (commit !== undefined) return { gitCommit: commit };
  // Carried inside another package, whose hash covers it, or in the commit.
  if (entry.inBundle === true || from.startsWith('file:')) return {};
  throw new CairnError(
    'invalid-configuration',
    `${file} has no hash for ${nameOf(path, entry)} ${entry.version}: whatever the registry serves would be taken`,
    {
      fix: `Remove node_modules and ${file}, then: npm install --package-lock-only`,
    },
  );
}

/** As Node finds them: in the nearest node_modules upwards. */
function neededBy(path: string, entry: Entry, entries: Entries, platform: string): string[] {
  const names = Object.keys({
    ...entry.dependencies,
    ...entry.optionalDependencies,
    ...entry.peerDependencies,
    ...(path.includes('node_modules/') ? {} : entry.devDependencies),
  });
  return names.flatMap((name) => {
    for (let folder = path; ; folder = folder.replace(/(^|\/)[^/]*$/, '')) {
      const at = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
      const hit = entries[at];
      if (hit?.link === true) return [];
      const purl = hit === undefined || !fits(hit, platform) ? undefined : purlOf(at, hit);
      if (purl !== undefined) return [purl];
      if (folder === '' || hit !== undefined) return [];
    }
  });
}

function parse<T>(text: string, name: string, schema: z.ZodType<T>): T {
  const fix = name === 'package.json' ? 'Mend package.json' : 'npm install --package-lock-only';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CairnError('invalid-configuration', `${name} is not JSON`, { cause, fix });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new CairnError('invalid-configuration', `${name} is not as npm writes it: ${z.prettifyError(parsed.error).split('\n').slice(0, 2).join(' ')}`, {
      fix,
    });
  return parsed.data;
}
