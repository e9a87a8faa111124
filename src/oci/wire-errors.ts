import type { ServerResponse } from 'node:http';
import { asCairnError, type CairnError, type ErrorCode } from '#core';

/** The codes of distribution-spec, "Error Codes". */
export type WireCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNSUPPORTED'
  | 'UNKNOWN';

/** An answer that a route chose itself; everything else that is thrown is mapped by `sendError`. */
export class WireError extends Error {
  readonly status: number;
  readonly code: WireCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: WireCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

const statuses: Partial<Record<ErrorCode, readonly [number, WireCode]>> = {
  'invalid-digest': [400, 'DIGEST_INVALID'],
  'digest-mismatch': [400, 'DIGEST_INVALID'],
  'malformed-document': [400, 'MANIFEST_INVALID'],
  'unknown-reference': [400, 'MANIFEST_INVALID'],
  'invalid-configuration': [400, 'NAME_INVALID'],
  'tag-immutable': [409, 'DENIED'],
};

/**
 * Answers a failed request. What we did not expect is told as that and no more: file names and causes are for our log.
 * @param absent the code of what this route did not find
 * @returns the error to report where the fault is ours
 */
export function sendError(response: ServerResponse, thrown: unknown, absent: WireCode): CairnError | undefined {
  const wire = toWire(thrown, absent);
  if (response.headersSent) {
    // The body had begun: only a broken connection tells the client that it is not whole.
    response.destroy();
  } else {
    const body = JSON.stringify({ errors: [{ code: wire.code, message: wire.message, detail: null }] });
    for (const name of response.getHeaderNames()) if (name !== 'docker-distribution-api-version') response.removeHeader(name);
    response.writeHead(wire.status, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      ...wire.headers,
    });
    response.end(response.req.method === 'HEAD' ? undefined : body);
    // What is left of a body that was begun is thrown away, or the next request on this connection would wait behind it.
    response.req.resume();
  }
  return wire.status >= 500 ? asCairnError(thrown) : undefined;
}

function toWire(thrown: unknown, absent: WireCode): WireError {
  if (thrown instanceof WireError) return thrown;
  const error = asCairnError(thrown);
  if (error.code === 'not-found') return new WireError(404, absent, error.message);
  const [status, code] = statuses[error.code] ?? [500, 'UNKNOWN'];
  return new WireError(status, code, status === 500 ? 'The registry failed' : error.message);
}
