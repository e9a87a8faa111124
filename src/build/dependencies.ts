import { CairnError } from '#core';
import type { Tool } from './toolchain.ts';

interface Lockfile {
  readonly packages?: Readonly<Record<string, { readonly name?: string; readonly version?: string; readonly integrity?: string; readonly dev?: boolean; readonly link?: boolean }>>;
}

/** What the build was made from, by hash: the packages of the lockfile that are not for development, and the tools. */
export function resolvedDependencies(lockfile: string | undefined, tools: readonly Tool[]): { uri: string; digest: Record<string, string> }[] {
  const { packages = {} } = lockfile === undefined ? {} : parse(lockfile);
  const locked = Object.entries(packages).flatMap(([path, one]) => {
    // An alias stands in the path; the package's own name beside it.
    const name = one.name ?? path.split('node_modules/').at(-1) ?? '';
    const [algorithm, hash] = (one.integrity ?? '').split('-');
    if (path === '' || one.dev === true || one.link === true || one.version === undefined || hash === undefined || algorithm === undefined) return [];
    return [{ uri: `pkg:npm/${name.replace('@', '%40')}@${one.version}`, digest: { [algorithm]: Buffer.from(hash, 'base64').toString('hex') } }];
  });
  return [...locked, ...tools.map((tool) => ({ uri: `pkg:generic/${tool.name}@${tool.version}`, digest: { sha256: tool.digest.slice(7) } }))];
}

function parse(lockfile: string): Lockfile {
  try {
    return JSON.parse(lockfile) as Lockfile;
  } catch (cause) {
    throw new CairnError('invalid-configuration', 'package-lock.json is not JSON', { cause, fix: 'npm install --package-lock-only' });
  }
}
