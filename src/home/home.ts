import { randomBytes } from 'node:crypto';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CairnError, ensureDurableDirectory, exists, writeFileDurable } from '#core';
import { createServerKeys } from './server-keys.ts';

const schema = z.strictObject({
  origin: z.string(),
  host: z.string(),
  port: z.int().min(0).max(65_535),
  /** `tls`: paths of PEM files, absolute or from the home. */
  environments: z.array(z.strictObject({ name: z.string(), port: z.int().min(0).max(65_535), tls: z.strictObject({ cert: z.string(), key: z.string() }).optional() })).min(1),
  /** When the keys were made; the trusted root's validity starts here. */
  since: z.iso.datetime(),
});

export type Settings = Readonly<z.infer<typeof schema>>;
export type HomePaths = ReturnType<typeof homePaths>;

export interface Home {
  readonly paths: HomePaths;
  readonly settings: Settings;
}

export function homePaths(root: string) {
  const at = (...parts: string[]) => join(root, ...parts);
  return Object.freeze({
    root, settings: at('cairn.json'), trust: at('trust.json'), rotations: at('trust-rotations.json'), token: at('token'), keys: at('keys'), people: at('people'), known: at('known'), witnessed: at('witnessed'),
    ledger: at('ledger.sqlite'), registry: at('registry'), unpacked: at('unpacked'), runner: at('runner'), socket: at('runner.sock'), builds: at('builds'), data: at('data'), secrets: at('secrets'), logs: at('runner', 'logs'), isolation: at('isolation'), sigstore: at('sigstore'), outbox: at('outbox'), roots: at('sigstore-roots.json'),
  });
}

/**
 * Folders that applications with users of their own pass through, to what is theirs: others may enter the first two by name and
 * list nothing; unpacked content is no secret.
 */
const passable = [['root', 0o711], ['data', 0o711], ['unpacked', 0o755]] as const;

/** Makes the home, or finds it: server keys, their passphrase, the token. What is secret in it is for this user's eyes only. */
export async function createHome(root: string, wanted: Omit<Settings, 'origin'>): Promise<Home & { created: boolean }> {
  const paths = homePaths(root);
  // The settings are written last: a home without them was cut off in the making, and is made again over its remains.
  if (await exists(paths.settings)) return { ...(await openHome(root)), created: false };
  for (const folder of [root, paths.keys, paths.people, paths.known, paths.registry, paths.unpacked, paths.runner, paths.builds]) await ensureDurableDirectory(folder, 0o700);
  await openToPass(paths);
  await createServerKeys(paths.keys, wanted.environments.map((one) => one.name));
  await writeFileDurable(paths.token, randomBytes(32).toString('base64url'), 0o600);
  const settings: Settings = { origin: `log-${randomBytes(6).toString('hex')}.cairn.internal`, ...wanted };
  await writeFileDurable(paths.settings, `${JSON.stringify(settings, null, 2)}\n`, 0o600);
  return { paths, settings, created: true };
}

/** Whatever the umask was when they were made. */
export async function openToPass(paths: HomePaths): Promise<void> {
  for (const [folder, mode] of passable) {
    await ensureDurableDirectory(paths[folder], mode);
    await chmod(paths[folder], mode);
  }
}

/** @throws CairnError `not-initialized`, `invalid-configuration` */
export async function openHome(root: string): Promise<Home> {
  const paths = homePaths(root);
  const text = await readFile(paths.settings, 'utf8').catch((cause: unknown) => {
    throw new CairnError('not-initialized', `there is no Cairn at ${root}`, { cause, fix: 'cairn init' });
  });
  try {
    return { paths, settings: Object.freeze(schema.parse(JSON.parse(text))) };
  } catch (cause) {
    throw new CairnError('invalid-configuration', `${paths.settings} is damaged`, { cause, fix: 'Mend it or restore it from a backup' });
  }
}

export async function readToken(paths: HomePaths): Promise<string> {
  return (await readFile(paths.token, 'utf8')).trim();
}
