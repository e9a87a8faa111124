import { hash, randomBytes } from 'node:crypto';

/** Keeps a client on its side while a route is split. It names nobody: a random number, with no meaning elsewhere. */
export const clientCookie = 'cairn-client';

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

/** In [0, 100): the client is on the newcomer's side while this is below its weight, so that a higher weight only ever moves clients there. */
export function pointOf(client: string, application: string): number {
  return (hash('sha256', `${client} ${application}`, 'buffer').readUInt32BE(0) / 2 ** 32) * 100;
}
