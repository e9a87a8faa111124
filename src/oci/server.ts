import type { IncomingMessage, ServerResponse } from 'node:http';
import { noFaults, type CairnError, type Faults } from '#core';
import { sendBody, type Exchange } from './exchange.ts';
import { serveBlob, serveUpload, serveUploads } from './serve-blobs.ts';
import { serveManifest, serveReferrers, serveTags } from './serve-manifests.ts';
import { checkRepositoryName } from './names.ts';
import type { Repositories } from './repository.ts';
import type { ContentStore } from './store.ts';
import { Uploads } from './uploads.ts';
import { sendError, WireError, type WireCode } from './wire-errors.ts';

export interface RegistryOptions {
  readonly repositories: Repositories;
  readonly store: ContentStore;
  readonly faults?: Faults;
  /** Hears of failures that are ours; the client is told no more than 500. */
  readonly report?: (error: CairnError) => void;
  /** Uploads under way at once (1000). */
  readonly uploadSessions?: number;
  /** An upload without a byte for so long is given up (one hour). */
  readonly uploadIdleMilliseconds?: number;
}

interface Route {
  readonly path: RegExp;
  /** The error for what is not there. */
  readonly absent: WireCode;
  readonly methods: Readonly<Record<string, (exchange: Exchange) => Promise<void>>>;
}

// A repository's name may hold "blobs" or "tags" itself: the ends of the path decide, the name is checked after.
const routes: readonly Route[] = [
  { path: /^(?<name>.+)\/blobs\/uploads\/?$/, absent: 'BLOB_UNKNOWN', methods: { POST: serveUploads } },
  {
    path: /^(?<name>.+)\/blobs\/uploads\/(?<last>[^/]+)$/,
    absent: 'BLOB_UPLOAD_UNKNOWN',
    methods: { GET: serveUpload, PATCH: serveUpload, PUT: serveUpload, DELETE: serveUpload },
  },
  { path: /^(?<name>.+)\/blobs\/(?<last>[^/]+)$/, absent: 'BLOB_UNKNOWN', methods: { GET: serveBlob, HEAD: serveBlob } },
  {
    path: /^(?<name>.+)\/manifests\/(?<last>[^/]+)$/,
    absent: 'MANIFEST_UNKNOWN',
    methods: { GET: serveManifest, HEAD: serveManifest, PUT: serveManifest },
  },
  { path: /^(?<name>.+)\/tags\/list$/, absent: 'NAME_UNKNOWN', methods: { GET: serveTags } },
  { path: /^(?<name>.+)\/referrers\/(?<last>[^/]+)$/, absent: 'NAME_UNKNOWN', methods: { GET: serveReferrers } },
];

/**
 * The registry, opencontainers/distribution-spec 1.1, for requests under `/v2/`; for others it answers false and does nothing.
 * Nothing can be deleted over the wire (405): retention is the release's business, and a registry's user must not be able to
 * take away the way back. Who may write is for the caller to decide before.
 */
export function registryHandler(options: RegistryOptions): (request: IncomingMessage, response: ServerResponse) => Promise<boolean> {
  const { repositories, store, faults = noFaults } = options;
  const uploads = new Uploads(store, {
    sessions: options.uploadSessions ?? 1000,
    idleMilliseconds: options.uploadIdleMilliseconds ?? 3_600_000,
  });
  return async (request, response) => {
    // Not through URL: it would resolve `..` and hide what was asked for.
    const [path = '', search = ''] = (request.url ?? '').split(/\?(.*)/s);
    if (path !== '/v2' && !path.startsWith('/v2/')) return false;
    response.setHeader('Docker-Distribution-Api-Version', 'registry/2.0');
    let absent: WireCode = 'UNSUPPORTED';
    try {
      const { route, name, last } = find(path.slice(4), request.method ?? '');
      if (route === undefined) {
        sendBody(response, 200, 'application/json', Buffer.from('{}'));
      } else {
        absent = route.absent;
        const exchange = { repositories, store, uploads, faults, request, response, name, last, query: new URLSearchParams(search) };
        await route.methods[request.method ?? '']?.(exchange);
      }
    } catch (error) {
      // A client that went away is no failure of ours, and nobody hears the answer.
      if (request.destroyed && !request.complete) response.destroy();
      else {
        const ours = sendError(response, error, absent);
        if (ours !== undefined) options.report?.(ours);
      }
    }
    return true;
  };
}

function find(path: string, method: string): { route?: Route; name: string; last: string } {
  if (path === '' && (method === 'GET' || method === 'HEAD')) return { name: '', last: '' };
  for (const route of routes) {
    const { name, last = '' } = route.path.exec(path)?.groups ?? {};
    if (name === undefined) continue;
    checkRepositoryName(name);
    const allowed = Object.keys(route.methods);
    if (!allowed.includes(method)) throw new WireError(405, 'UNSUPPORTED', `${method} is not allowed here`, { Allow: allowed.join(', ') });
    return { route, name, last: decode(last) };
  }
  throw new WireError(404, 'UNSUPPORTED', 'There is nothing at this address');
}

/** Some clients send the colon of a digest escaped. What comes out is checked as a digest or a tag, so no slash gets through. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
