import type { Tool } from './toolchain.ts';

interface Lockfile {
  readonly packages?: Readonly<Record<string, { readonly version?: string; readonly integrity?: string; readonly dev?: boolean; readonly link?: boolean }>>;
}

/** What the build was made from, by hash: the packages of the lockfile that are not for development, and the tools. */
export function resolvedDependencies(lockfile: string | undefined, tools: readonly Tool[]): { uri: string; digest: Record<string, string> }[] {
  const { packages = {} } = lockfile === undefined ? {} : (JSON.parse(lockfile) as Lockfile);
  const locked = Object.entries(packages).flatMap(([path, one]) => {
    const name = path.split('node_modules/').at(-1) ?? '';
    const [algorithm, hash] = (one.integrity ?? '').split('-');
    if (path === '' || one.dev === true || one.link === true || one.version === undefined || hash === undefined || algorithm === undefined) return [];
    return [{ uri: `pkg:npm/${name.replace('@', '%40')}@${one.version}`, digest: { [algorithm]: Buffer.from(hash, 'base64').toString('hex') } }];
  });
  return [...locked, ...tools.map((tool) => ({ uri: `pkg:generic/${tool.name}@${tool.version}`, digest: { sha256: tool.digest.slice(7) } }))];
}
