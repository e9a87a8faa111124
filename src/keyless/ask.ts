import { CairnError } from '#core';

/** Bytes of the largest answer that is read: a certificate chain, a timestamp, a log entry. */
const most = 1 << 20;

export interface Asked {
  readonly url: string;
  readonly contentType?: string;
  readonly authorization?: string;
  /** With it the call is a POST. */
  readonly body?: Uint8Array | string;
}

/**
 * Asks one of the services that keyless signing needs, and gives back what it answered with success. They are told who signs and
 * hold a token that can sign: a plain connection is for this machine only, and no redirect is followed.
 * @throws CairnError `unreachable` (retryable), `unauthorized`, `refused`, `malformed-document`, `invalid-configuration`
 */
export async function ask({ url, contentType, authorization, body }: Asked): Promise<Buffer> {
  const where = placeOf(url);
  let response: Response;
  try {
    response = await fetch(where, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { ...(contentType !== undefined && { 'content-type': contentType }), ...(authorization !== undefined && { authorization }) },
      body: body instanceof Uint8Array ? Buffer.from(body) : (body ?? null),
      redirect: 'error',
      signal: AbortSignal.timeout(30_000),
    });
    const answer = await bounded(response);
    if (response.ok) return answer;
    const said = answer.toString('utf8').replaceAll(/[^\u0020-\u007e]/g, ' ').trim().slice(0, 300);
    const details = { context: { url: where.origin + where.pathname, status: response.status } };
    if (response.status === 401 || response.status === 403) throw new CairnError('unauthorized', `${where.host} refused the token: ${said}`, { ...details, fix: 'The identity token may have expired, or be for another audience than "sigstore"' });
    if (response.status === 429 || response.status >= 500) throw new CairnError('unreachable', `${where.host} answered ${response.status}: ${said}`, { ...details, retryable: true });
    throw new CairnError('refused', `${where.host} refused: ${response.status} ${said}`, details);
  } catch (cause) {
    if (cause instanceof CairnError) throw cause;
    throw new CairnError('unreachable', `${where.host} can't be reached`, { cause, retryable: true, fix: 'See that the address is right and the service is up' });
  }
}

function placeOf(url: string): URL {
  const where = URL.parse(url);
  const near = where !== null && /^(localhost|127\.[0-9.]+|\[::1\])$/.test(where.hostname);
  if (where !== null && (where.protocol === 'https:' || (where.protocol === 'http:' && near)) && where.username === '') return where;
  throw new CairnError('invalid-configuration', `${url.slice(0, 200)} is no address for signing`, { fix: 'Give an https address; http is for this machine only' });
}

async function bounded(response: Response): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.byteLength;
    if (size > most) throw new CairnError('malformed-document', `${new URL(response.url).host} answered more than the ${most} bytes allowed`, { context: { reason: 'too-large', limit: most } });
    parts.push(part);
  }
  return Buffer.concat(parts);
}
