import { CairnError, parseDigest } from '#core';
import { manifestLimit, mediaTypes, type Descriptor } from './descriptor.ts';
import { bodyOf, sendBody, sendEmpty, type Exchange } from './exchange.ts';
import { WireError } from './wire-errors.ts';

/** Tags a page where the client asks for no number, or for more. */
const tagsPage = 10_000;

/** distribution-spec, "Pulling manifests" and "Pushing Manifests". */
export async function serveManifest(exchange: Exchange): Promise<void> {
  const { repositories, request, response, name, last } = exchange;
  if (request.method === 'PUT') {
    await putManifest(exchange);
    return;
  }
  const { bytes, mediaType, digest } = await repositories.getManifest(name, last);
  sendBody(response, 200, mediaType, bytes, { 'Docker-Content-Digest': digest });
}

async function putManifest({ repositories, faults, request, response, name, last }: Exchange): Promise<void> {
  const bytes = await readBody(bodyOf(request));
  const contentType = request.headers['content-type']?.split(';')[0]?.trim();
  const { digest, subject } = await repositories.putManifest(name, last, bytes, contentType).catch((error: unknown) => {
    if (!(error instanceof CairnError) || error.code !== 'not-found') throw error;
    throw new WireError(404, 'MANIFEST_BLOB_UNKNOWN', error.message);
  });
  faults.point('oci.manifest.kept');
  sendEmpty(response, 201, {
    Location: `/v2/${name}/manifests/${digest}`,
    'Docker-Content-Digest': digest,
    ...(subject === undefined ? {} : { 'OCI-Subject': subject }),
  });
}

async function readBody(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size <= manifestLimit) chunks.push(chunk);
    // Somewhat too much is read to its end and thrown away: most clients hear an answer only when they have sent all.
    else if (size > 4 * manifestLimit) break;
  }
  if (size <= manifestLimit) return Buffer.concat(chunks);
  throw new WireError(413, 'SIZE_INVALID', `A manifest may have ${manifestLimit} bytes`, { Connection: 'close' });
}

/** distribution-spec, "Listing Tags". */
export async function serveTags({ repositories, response, name, query }: Exchange): Promise<void> {
  const all = await repositories.tags(name);
  const asked = query.get('n');
  if (asked !== null && !/^\d{1,9}$/.test(asked)) throw new WireError(400, 'UNSUPPORTED', 'n is a number');
  const count = Math.min(Number(asked ?? tagsPage), tagsPage);
  const after = query.get('last');
  const rest = after === null ? all : all.filter((tag) => tag > after);
  const tags = rest.slice(0, count);
  const more = tags.length > 0 && rest.length > count;
  const link = `</v2/${name}/tags/list?n=${count}&last=${encodeURIComponent(tags.at(-1) ?? '')}>; rel="next"`;
  sendBody(response, 200, 'application/json', Buffer.from(JSON.stringify({ name, tags })), more ? { Link: link } : {});
}

/** distribution-spec, "Listing Referrers": never 404; pages, so that no index grows past what clients take. */
export async function serveReferrers({ repositories, response, name, last, query }: Exchange): Promise<void> {
  const subject = parseDigest(last);
  const wanted = query.get('artifactType');
  const after = query.get('last') ?? '';
  const { manifests, more } = await firstPage(repositories.eachReferrer(name, subject, after), wanted);
  const index = { schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests };
  const next = new URLSearchParams({ ...(wanted === null ? {} : { artifactType: wanted }), last: manifests.at(-1)?.digest ?? '' });
  sendBody(response, 200, mediaTypes.imageIndex, Buffer.from(JSON.stringify(index)), {
    ...(wanted === null ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
    ...(more ? { Link: `</v2/${name}/referrers/${subject}?${next}>; rel="next"` } : {}),
  });
}

/** As many as fit into an index of the size that clients take, and at least one, since each came as a manifest of that size. What comes after is not read. */
async function firstPage(descriptors: AsyncIterable<Descriptor>, wanted: string | null): Promise<{ manifests: readonly Descriptor[]; more: boolean }> {
  const manifests: Descriptor[] = [];
  let room = manifestLimit - 4096;
  for await (const descriptor of descriptors) {
    if (wanted !== null && descriptor.artifactType !== wanted) continue;
    room -= Buffer.byteLength(JSON.stringify(descriptor)) + 1;
    if (room < 0 && manifests.length > 0) return { manifests, more: true };
    manifests.push(descriptor);
  }
  return { manifests, more: false };
}
