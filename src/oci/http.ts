import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { CairnError, type ErrorCode } from '#core';

interface Call {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Readable;
}

export interface Answer {
  readonly status: number;
  readonly url: URL;
  header(name: string): string | undefined;
  readonly body: Readable;
}

export type Send = (call: Call) => Promise<Answer>;

const redirects = new Set([301, 302, 303, 307, 308]);
const mostRedirects = 5;

/**
 * Requests to one registry. It may be hostile, or have been taken over: it never gets the credential sent anywhere but to its
 * own origin, nor a secure connection turned into a plain one; what it serves is hashed by the caller. Redirects, with which
 * registries send readers to their storage, are followed for reads only.
 */
export function sender(origin: string, authorization: string | undefined): Send {
  return async (call) => {
    let url = call.url;
    for (let count = 0; count <= mostRedirects; count += 1) {
      const answer = await once(call, url, url.origin === origin ? authorization : undefined);
      const location = answer.header('location');
      if (!redirects.has(answer.status) || location === undefined || call.body !== undefined) return answer;
      await discard(answer);
      url = resolveLocation(url, location);
    }
    throw new CairnError('refused', `${call.url.host} redirects without end`);
  };
}

/** Where a Location or Link leads. @throws CairnError `refused` for one that leaves http(s) or drops the encryption */
export function resolveLocation(from: URL, location: string): URL {
  const url = URL.parse(location, from);
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && from.protocol === 'http:')) return url;
  throw new CairnError('refused', `${from.host} leads to ${location.slice(0, 200)}, where a client must not follow`);
}

async function once(call: Call, url: URL, authorization: string | undefined): Promise<Answer> {
  let response: Dispatcher.ResponseData;
  // Loaded where it is used: most commands ask no registry.
  const { request } = await import('undici');
  try {
    response = await request(url, {
      method: call.method,
      headers: { ...call.headers, ...(authorization === undefined ? {} : { authorization }) },
      body: call.body instanceof Uint8Array ? Buffer.from(call.body) : (call.body ?? null),
    });
  } catch (cause) {
    if (cause instanceof CairnError) throw cause;
    throw unreachable(`${url.host} can't be reached`, cause);
  }
  return {
    status: response.statusCode,
    url,
    body: response.body,
    header(name) {
      const value = response.headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
  };
}

function unreachable(message: string, cause: unknown): CairnError {
  return new CairnError('unreachable', message, { cause, retryable: true, fix: 'Look whether the registry runs, and whether its address is right' });
}

/** Frees the connection. */
export async function discard(answer: Answer): Promise<void> {
  answer.body.on('error', () => {}).resume();
}

/** @throws CairnError `malformed-document` past the limit, `unreachable` where the connection breaks */
export async function readAll(answer: Answer, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength;
      if (size > limit) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    throw unreachable(`${answer.url.host} broke off its answer`, cause);
  }
  if (size <= limit) return Buffer.concat(chunks);
  throw new CairnError('malformed-document', `${answer.url.host} sent more than the ${limit} bytes allowed`);
}

const codes: Readonly<Record<number, ErrorCode>> = { 401: 'unauthorized', 403: 'unauthorized', 404: 'not-found', 409: 'conflict' };

/**
 * Returns the answer if its status is one of `good`. Absent, unreachable and throttled are told apart, since each is mended
 * differently: `not-found`; `unreachable`; `throttled`.
 */
export async function expectStatus(answer: Answer, what: string, ...good: number[]): Promise<Answer> {
  if (good.includes(answer.status)) return answer;
  const { status, url } = answer;
  const said = await readAll(answer, 64 << 10).then(
    (bytes) => bytes.toString('utf8').replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 300),
    () => '',
  );
  const message = `${url.host} answered ${status} to: ${what}${said === '' ? '' : ` (${said})`}`;
  if (status === 429) {
    const after = Number(answer.header('retry-after') ?? Number.NaN);
    const known = Number.isFinite(after) && after >= 0;
    throw new CairnError('throttled', message, { retryable: true, context: { status, ...(known && { retryAfterSeconds: after }) }, fix: known ? `Try again in ${after} s` : 'Wait, then try again' });
  }
  if (status >= 500) throw new CairnError('unreachable', message, { retryable: true, context: { status }, fix: 'Try again later' });
  throw new CairnError(codes[status] ?? 'refused', message, { context: { status } });
}
