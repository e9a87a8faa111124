import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CairnError, exists, isDigest, type Digest } from '#core';
import { openHome, readToken, type HomePaths } from '#home';
import { registryClient, type Answer, type RegistryClient } from '#oci';
import { apiClient } from '#server';
import type { System } from './context.ts';
import type { Early } from './ahead.ts';
import { call, type Reply } from './quick.ts';
import type { Session } from './session.ts';

// A session for commands that only look, and are waited for: each question on a plain socket (see quick.ts), blobs from where they rest.

/** As long as anything may take that the server does within one call. */
const patienceMs = 300_000;

/** @param early answers that were asked for before there was a session, each taken once */
export async function openNear(system: System, early?: Early): Promise<Session> {
  const home = await openHome(system.home);
  const { host, port } = home.settings;
  const url = `http://${host}:${port}`;
  const look = async (path: string, headers: Readonly<Record<string, string>>) => {
    const lines = Object.entries({ host: `${host}:${port}`, ...headers }).map(([name, value]) => `${name}: ${value}`);
    const { status, body } = (await taken(early, path)) ?? (await call({ host, port }, path, lines.join('\r\n'), patienceMs));
    return { status, bytes: body };
  };
  return { home, url, api: apiClient(url, await readToken(home.paths), look) };
}

/** What failed is asked again, and fails in its own words. */
async function taken(early: Early | undefined, path: string): Promise<Reply | undefined> {
  const reply = early?.get(path);
  early?.delete(path);
  return reply?.catch(() => undefined);
}

/** Where a blob of this machine's registry rests. */
function blobPath(paths: Pick<HomePaths, 'registry'>, digest: Digest): string {
  return join(paths.registry, 'content', 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7));
}

/**
 * This machine's own registry. What it holds it says itself; the bytes of a blob are read from its folder, since whoever asks hashes
 * them anyway, and a release has hundreds of megabytes of them.
 */
export function nearRegistry({ home, url }: Session, application: string): RegistryClient {
  const { host, port } = home.settings;
  return registryClient(url, application, async ({ method, url: wanted, headers = {} }): Promise<Answer> => {
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(wanted.pathname)?.[1];
    if (method !== 'GET') throw new TypeError('this registry is only looked at');
    if (isDigest(digest) && (await exists(blobPath(home.paths, digest)))) return { status: 200, url: wanted, header: () => undefined, body: createReadStream(blobPath(home.paths, digest), { highWaterMark: 1 << 20 }) };
    const lines = Object.entries({ host: `${host}:${port}`, ...headers }).map(([name, value]) => `${name}: ${value}`);
    const { status, header, body } = await call({ host, port }, `${wanted.pathname}${wanted.search}`, lines.join('\r\n'), patienceMs).catch((cause: unknown) => {
      throw cause instanceof CairnError ? cause : new CairnError('unreachable', `${wanted.host} can't be reached`, { cause, fix: 'cairn up', retryable: true });
    });
    return { status, url: wanted, header, body: Readable.from([body]) };
  });
}
