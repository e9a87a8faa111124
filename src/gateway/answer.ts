import type { ServerResponse } from 'node:http';
import { releaseHeader } from './headers.ts';

/** An answer of the gateway itself, for people with curl and for programs. */
export interface OwnAnswer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly fix?: string;
}

export function answerError(response: ServerResponse, { status, code, message, fix }: OwnAnswer, release?: string): void {
  const body = Buffer.from(JSON.stringify({ error: { code, message, ...(fix !== undefined && { fix }) } }));
  const headers: Record<string, string | number> = {
    'content-type': 'application/json',
    'content-length': body.byteLength,
    'cache-control': 'no-store',
  };
  if (release !== undefined) headers[releaseHeader] = release;
  // The rest of a body that nobody reads is not worth its bandwidth: the connection ends with the answer.
  if (!response.req.complete) headers['connection'] = 'close';
  response.writeHead(status, headers);
  response.end(body);
}
