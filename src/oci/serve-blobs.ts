import { pipeline } from 'node:stream/promises';
import { isDigest, parseDigest, type Digest } from '#core';
import { bodyOf, sendEmpty, type Exchange } from './exchange.ts';
import type { ByteRange } from './store.ts';
import { rangeOf, type Upload } from './uploads.ts';
import { WireError } from './wire-errors.ts';

/** distribution-spec, "Pulling blobs". The bytes are not hashed on the way: the client does it, and must. */
export async function serveBlob({ repositories, store, request, response, name, last }: Exchange): Promise<void> {
  const digest = parseDigest(last);
  const size = await repositories.blobSize(name, digest);
  if (size === undefined) throw new WireError(404, 'BLOB_UNKNOWN', `${name} has no blob ${digest}`);
  const range = parseRange(request.headers.range, size);
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': digest,
    'Accept-Ranges': 'bytes',
    'Content-Length': range === undefined ? size : range.end - range.start + 1,
    ...(range === undefined ? {} : { 'Content-Range': `bytes ${range.start}-${range.end}/${size}` }),
  };
  if (request.method === 'HEAD') {
    response.writeHead(200, { ...headers, 'Content-Length': size }).end();
    return;
  }
  const content = await store.stream(digest, range);
  response.writeHead(range === undefined ? 200 : 206, headers);
  await pipeline(content, response).catch((error: NodeJS.ErrnoException) => {
    // A client that stops reading is its own business; a disk that does is ours.
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  });
}

/** RFC 9110 section 14. One range; several, or what is not understood, is answered with the whole, as the RFC allows. */
function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined;
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  const start = first === '' ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (start <= end) return { start, end };
  throw new WireError(416, 'SIZE_INVALID', `The blob has ${size} bytes`, { 'Content-Range': `bytes */${size}` });
}

/** distribution-spec, "Pushing blobs": mount, all in one POST, or the beginning of an upload. */
export async function serveUploads(exchange: Exchange): Promise<void> {
  const { repositories, uploads, request, response, name, query } = exchange;
  const mount = query.get('mount');
  if (mount !== null && isDigest(mount) && (await repositories.blobSize(name, mount)) !== undefined) {
    sendCreated(exchange, mount);
    return;
  }
  const digest = query.get('digest');
  if (digest !== null) {
    const wanted = parseDigest(digest);
    await finish(exchange, uploads.begin(name), wanted, true);
    return;
  }
  const upload = uploads.begin(name);
  request.resume();
  sendEmpty(response, 202, uploadHeaders(upload));
}

/** distribution-spec, "Pushing a blob in chunks", and its status and cancellation. */
export async function serveUpload(exchange: Exchange): Promise<void> {
  const { uploads, request, response, name, last, query } = exchange;
  const upload = uploads.find(name, last);
  switch (request.method) {
    case 'PATCH':
      await upload.append(bodyOf(request), request.headers['content-range'], lengthOf(exchange));
      sendEmpty(response, 202, uploadHeaders(upload));
      return;
    case 'PUT':
      await finish(exchange, upload, parseDigest(query.get('digest')), false);
      return;
    case 'DELETE':
      upload.abandon();
      sendEmpty(response, 204, {});
      return;
    default:
      sendEmpty(response, 204, uploadHeaders(upload));
  }
}

async function finish(exchange: Exchange, upload: Upload, digest: Digest, single: boolean): Promise<void> {
  try {
    await upload.finish(bodyOf(exchange.request), digest, exchange.request.headers['content-range'], lengthOf(exchange));
  } catch (error) {
    // Nobody was told of this upload, so nobody can carry it on.
    if (single) upload.abandon();
    throw error;
  }
  exchange.faults.point('oci.blob.kept');
  sendCreated(exchange, digest);
}

function sendCreated({ request, response, name }: Exchange, digest: Digest): void {
  request.resume();
  sendEmpty(response, 201, { Location: `/v2/${name}/blobs/${digest}`, 'Docker-Content-Digest': digest });
}

function uploadHeaders(upload: Upload): Record<string, string> {
  return { Location: `/v2/${upload.name}/blobs/uploads/${upload.id}`, Range: rangeOf(upload), 'Docker-Upload-UUID': upload.id };
}

function lengthOf({ request }: Exchange): number | undefined {
  const header = request.headers['content-length'];
  return header === undefined ? undefined : Number(header);
}
