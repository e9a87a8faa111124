import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Faults } from '#core';
import type { Repositories } from './repository.ts';
import type { ContentStore } from './store.ts';
import type { Uploads } from './uploads.ts';

/** What a route works with. */
export interface Exchange {
  readonly repositories: Repositories;
  readonly store: ContentStore;
  readonly uploads: Uploads;
  readonly faults: Faults;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly name: string;
  /** The last part of the path: a digest, a tag, an upload's id. Not yet checked. */
  readonly last: string;
  readonly query: URLSearchParams;
}

export function sendBody(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': body.byteLength, ...headers });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

export function sendEmpty(response: ServerResponse, status: number, headers: Readonly<Record<string, string>>): void {
  response.writeHead(status, status === 204 ? headers : { 'Content-Length': '0', ...headers });
  response.end();
}

/** The body, which leaves the connection open when reading stops early: the refusal has yet to be sent over it. */
export function bodyOf(request: IncomingMessage): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => request.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array> };
}
