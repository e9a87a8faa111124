import { randomBytes } from 'node:crypto';

/** Keeps a client on its side while a route is split. It names nobody: a random number, with no meaning elsewhere. */
const clientCookie = 'cairn-client';

const form = /(?:^|;\s*)cairn-client=([A-Za-z0-9_-]{22})(?:;|$)/;

export function clientOf(cookies: string | undefined): string | undefined {
  return cookies === undefined ? undefined : form.exec(cookies)?.[1];
}

export function newClient(): string {
  return randomBytes(16).toString('base64url');
}

export function cookieOf(client: string, secure: boolean): string {
  return `${clientCookie}=${client}; Path=/; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}

/**
 * In [0, 100): the client is on the newcomer's side while this is below its weight, so that a higher weight only ever moves
 * clients there. FNV-1a with the last steps of MurmurHash3, which a later version must keep: another hash would throw people
 * from side to side in mid-split.
 */
export function pointOf(client: string, application: string): number {
  let hash = 0x811c9dc5;
  for (const text of [client, '/', application]) {
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32) * 100;
}
