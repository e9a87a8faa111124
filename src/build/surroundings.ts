import { access, chmod, chown, constants, copyFile, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { privateFolder } from './private-folder.ts';
import type { Toolchain } from './toolchain.ts';

// What stands around a stage: its environment, its home, and what it is lent of the network settings of whoever releases.

type Variables = Readonly<Record<string, string | undefined>>;

/** Network settings that a stage with `network: true` receives. Their values are never recorded: they can hold credentials. */
const networkNames = [
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'SSL_CERT_DIR',
  'NPM_CONFIG_REGISTRY',
  'npm_config_registry',
  'GOPROXY',
  'GOSUMDB',
  'GONOSUMDB',
  'GONOPROXY',
  'GOPRIVATE',
  'GOINSECURE',
] as const;
/** Those that name a file. */
const fileNames = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'NPM_CONFIG_CAFILE', 'npm_config_cafile', 'NPM_CONFIG_USERCONFIG', 'npm_config_userconfig'] as const;
const cacheNames = ['NPM_CONFIG_CACHE', 'npm_config_cache'] as const;

export interface Surroundings {
  /** Everything a stage sees. Nothing is inherited: no key, passphrase, token, locale or time zone of whoever releases. */
  environment(stage: { readonly network: boolean }): Record<string, string>;
  /** Puts what is lent where the stage's user can read it; take it back afterwards. */
  lend(stage: { readonly network: boolean }): Promise<() => Promise<void>>;
  /** Names of the settings that stages with network are lent. */
  readonly lent: readonly string[];
}

export interface SurroundingsOptions {
  readonly workspace: string;
  readonly host: Variables;
  /** The user that stages run as; null: ourselves. */
  readonly uid: number | null;
  readonly tools: Pick<Toolchain, 'environment' | 'configured'>;
  /** Whether what npm downloads is kept for the next build. */
  readonly keepsDownloads: boolean;
}

export async function surroundings({ workspace, host, uid, tools, keepsDownloads }: SurroundingsOptions): Promise<Surroundings> {
  const home = join(workspace, 'home');
  await mkdir(home, { mode: 0o700 });
  if (keepsDownloads) await linkCache(home, uid);
  if (uid !== null) await chown(home, uid, uid);
  const network: Record<string, string> = { ...tools.configured };
  for (const name of [...networkNames, ...(uid === null ? cacheNames : [])]) if (host[name] !== undefined) network[name] = host[name];
  const files = Object.entries(await filesOf(host)).map(([name, path], at) => ({ name, path, copy: join(workspace, `lent-${at}`) }));
  for (const { name, path, copy } of files) network[name] = uid === null ? path : copy;
  const fixed = {
    PATH: `${join(workspace, 'bin')}:/usr/bin:/bin`,
    HOME: home,
    TZ: 'UTC',
    LANG: 'C.UTF-8',
    LC_ALL: 'C.UTF-8',
    SOURCE_DATE_EPOCH: '315532800',
    NPM_CONFIG_UPDATE_NOTIFIER: 'false',
    NPM_CONFIG_FUND: 'false',
    NPM_CONFIG_AUDIT: 'false',
    // A user of its own cannot write to our cache, and must not: what it left there, we would use.
    ...(uid !== null && { NPM_CONFIG_CACHE: join(home, '.npm') }),
    ...tools.environment,
  };
  return {
    environment: (stage) => (stage.network ? { ...fixed, ...network } : fixed),
    lend: async (stage) => {
      if (!stage.network || uid === null) return async () => {};
      for (const { path, copy } of files) {
        await copyFile(path, copy);
        await chmod(copy, 0o400);
        await chown(copy, uid, uid);
      }
      return async () => {
        for (const { copy } of files) await rm(copy, { force: true });
      };
    },
    lent: Object.keys(network).toSorted(),
  };
}

/** The named files that are there, and their own .npmrc where no other is named, since a stage has another HOME. */
async function filesOf(host: Variables): Promise<Record<string, string>> {
  const named: Record<string, string> = {};
  for (const name of fileNames) if (host[name] !== undefined) named[name] = host[name];
  if (named['NPM_CONFIG_USERCONFIG'] === undefined && named['npm_config_userconfig'] === undefined)
    named['NPM_CONFIG_USERCONFIG'] = join(host['HOME'] ?? '/nonexistent', '.npmrc');
  for (const [name, path] of Object.entries(named))
    if (
      !(await access(path, constants.R_OK).then(
        () => true,
        () => false,
      ))
    )
      delete named[name];
  return named;
}

/**
 * What npm downloads is kept from build to build, in a folder of the stages' user. A stage could write to it what it likes: npm
 * takes nothing from it whose hash is not the lockfile's.
 */
async function linkCache(home: string, uid: number | null): Promise<void> {
  const folder = await privateFolder(uid ?? process.getuid?.() ?? 0);
  if (folder === undefined) return;
  const cache = join(folder, 'npm');
  try {
    await mkdir(cache, { mode: 0o700 });
    if (uid !== null) await chown(cache, uid, uid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  await symlink(cache, join(home, '.npm'));
}
