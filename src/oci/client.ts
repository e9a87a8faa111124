import { Readable } from 'node:stream';
import { CairnError, digestOf, isDigest, Mutex, parseDigest, type Digest } from '#core';
import { isIndex, manifestLimit, mediaTypes, parseManifest, referrerDescriptor, type Descriptor } from './descriptor.ts';
import { discard, expectStatus, readAll, resolveLocation, sender, type Answer, type Send } from './http.ts';
import { checkRepositoryName, fallbackTag, parseReference } from './names.ts';
import type { StoredManifest } from './repository.ts';

/**
 * One repository of any registry (distribution-spec 1.1). What is asked for by digest is hashed before it is returned.
 * Every call throws CairnError `unreachable`, `throttled` (both retryable; the second where the registry asks for patience),
 * `unauthorized`, `refused` for what it won't take. The caller retries; every call may be repeated.
 */
export interface RegistryClient {
  /** Asks first, and opens the content only if the registry lacks it. @returns whether it was sent */
  pushBlob(digest: Digest, size: number, open: () => Promise<AsyncIterable<Uint8Array>>): Promise<boolean>;
  /** @param reference a tag; by digest where there is none. @throws CairnError `tag-immutable`, `not-found` (what it names) */
  pushManifest(bytes: Uint8Array, mediaType: string, reference?: string): Promise<{ digest: Digest; subject?: Digest }>;
  /** Attaches a manifest to the subject it names, and keeps the fallback tag where the registry lists no referrers. */
  pushReferrer(bytes: Uint8Array, subject: Digest): Promise<Digest>;
  hasManifest(reference: string): Promise<boolean>;
  /** @throws CairnError `not-found`, `digest-mismatch` */
  manifest(reference: string): Promise<StoredManifest>;
  /** @param limit in bytes, 4 MiB unless given. @throws CairnError `not-found`, `digest-mismatch`, `malformed-document` (too large) */
  blob(digest: Digest, limit?: number): Promise<Buffer>;
  /** NOT verified: for a store's `write(stream, digest)`, which does it. @throws CairnError `not-found` */
  blobStream(digest: Digest): Promise<Readable>;
  /** What is attached to a subject; empty where nothing is. A list proves nothing: evidence may be missing from it. */
  referrers(subject: Digest): Promise<readonly Descriptor[]>;
}

const accept = [mediaTypes.imageIndex, mediaTypes.imageManifest, mediaTypes.dockerIndex, mediaTypes.dockerManifest].join(', ');

/** A registry that never stops answering "next" gets this many pages. */
const mostPages = 100;

/** @param baseUrl such as `http://127.0.0.1:5057`; a user and password in it become basic authentication. @param own asks in the place of HTTP */
export function registryClient(baseUrl: string, repository: string, own?: Send): RegistryClient {
  const base = parseBase(baseUrl);
  const name = checkRepositoryName(repository);
  const send = own ?? sender(base.url.origin, base.authorization);
  const root = `${base.url.pathname.replace(/\/$/, '')}/v2/${name}`;
  const at = (path: string): URL => new URL(`${root}/${path}`, base.url);
  const fallback = new Mutex();

  async function getManifest(reference: string): Promise<StoredManifest> {
    parseReference(reference);
    const answer = await expectStatus(await send({ method: 'GET', url: at(`manifests/${reference}`), headers: { accept } }), `manifest ${reference}`, 200);
    const bytes = await readAll(answer, manifestLimit);
    const digest = digestOf(bytes);
    const claimed = answer.header('docker-content-digest') ?? digest;
    for (const wanted of isDigest(reference) ? [reference] : [claimed]) checkDigest(wanted, digest, answer.url);
    return { bytes, mediaType: contentTypeOf(answer) ?? parseManifest(bytes).mediaType, digest };
  }

  async function putManifest(bytes: Uint8Array, mediaType: string, reference: string): Promise<{ digest: Digest; subject?: Digest }> {
    parseReference(reference);
    const digest = digestOf(bytes);
    const answer = await send({ method: 'PUT', url: at(`manifests/${reference}`), headers: { 'content-type': mediaType }, body: bytes });
    await expectStatus(answer, `push manifest ${reference}`, 201, 202).catch((error: unknown) => {
      throw error instanceof CairnError && error.code === 'conflict'
        ? new CairnError('tag-immutable', error.message, { cause: error, fix: 'Push under a new tag, or by digest' })
        : error;
    });
    await discard(answer);
    const claimed = answer.header('docker-content-digest');
    if (claimed !== undefined) checkDigest(claimed, digest, answer.url);
    const subject = answer.header('oci-subject');
    return isDigest(subject) ? { digest, subject } : { digest };
  }

  async function fallbackReferrers(subject: Digest): Promise<readonly Descriptor[]> {
    const held = await getManifest(fallbackTag(subject)).catch(ifNotFound(undefined));
    if (held === undefined) return [];
    const index = parseManifest(held.bytes, held.mediaType);
    return isIndex(index) ? index.manifests : [];
  }

  /** The tag is read, changed and written, with nothing to hold others off: who is overwritten looks again and adds itself. */
  async function addFallback(subject: Digest, descriptor: Descriptor): Promise<void> {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const held = await fallbackReferrers(subject);
      if (held.some(({ digest }) => digest === descriptor.digest)) return;
      const index = { schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests: [...held, descriptor] };
      await putManifest(Buffer.from(JSON.stringify(index)), mediaTypes.imageIndex, fallbackTag(subject));
    }
    const last = await fallbackReferrers(subject);
    if (last.some(({ digest }) => digest === descriptor.digest)) return;
    throw new CairnError('unreachable', `Others keep overwriting ${fallbackTag(subject)}`, { retryable: true });
  }

  async function getBlob(digest: Digest): Promise<Answer> {
    return expectStatus(await send({ method: 'GET', url: at(`blobs/${digest}`) }), `blob ${digest}`, 200);
  }

  return {
    manifest: getManifest,

    pushManifest: (bytes, mediaType, reference = digestOf(bytes)) => putManifest(bytes, mediaType, reference),

    async pushBlob(digest, size, open) {
      const head = await send({ method: 'HEAD', url: at(`blobs/${digest}`) });
      await discard(head);
      if (head.status === 200) return false;
      await expectStatus(head, `blob ${digest}`, 404);
      const begun = await expectStatus(await send({ method: 'POST', url: at('blobs/uploads/'), body: Buffer.alloc(0) }), 'begin an upload', 202);
      await discard(begun);
      const location = begun.header('location');
      if (location === undefined) throw new CairnError('refused', `${begun.url.host} gave an upload no location`);
      const url = resolveLocation(begun.url, location);
      url.searchParams.set('digest', digest);
      const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) };
      const body = Readable.from(await open(), { objectMode: false });
      await discard(await expectStatus(await send({ method: 'PUT', url, headers, body }), `push blob ${digest}`, 201));
      return true;
    },

    async pushReferrer(bytes, subject) {
      const document = parseManifest(bytes);
      if (document.subject?.digest !== subject) {
        throw new CairnError('digest-mismatch', `A manifest to be attached to ${subject} names ${document.subject?.digest ?? 'no subject'}`);
      }
      const pushed = await putManifest(bytes, document.mediaType, digestOf(bytes));
      if (pushed.subject === undefined) {
        await fallback.run(() => addFallback(subject, referrerDescriptor(document, pushed.digest, bytes.byteLength)));
      }
      return pushed.digest;
    },

    async hasManifest(reference) {
      parseReference(reference);
      const answer = await send({ method: 'HEAD', url: at(`manifests/${reference}`), headers: { accept } });
      await expectStatus(answer, `manifest ${reference}`, 200, 404);
      await discard(answer);
      return answer.status === 200;
    },

    async blob(digest, limit = manifestLimit) {
      const answer = await getBlob(digest);
      const bytes = await readAll(answer, limit);
      checkDigest(digest, digestOf(bytes), answer.url);
      return bytes;
    },

    blobStream: async (digest) => (await getBlob(digest)).body,

    async referrers(subject) {
      const found: Descriptor[] = [];
      let url: URL | undefined = at(`referrers/${subject}`);
      for (let page = 0; url !== undefined; page += 1) {
        if (page >= mostPages) throw new CairnError('refused', `${url.host} lists referrers without end`);
        const answer: Answer = await expectStatus(await send({ method: 'GET', url, headers: { accept: mediaTypes.imageIndex } }), `referrers of ${subject}`, 200, 404);
        if (answer.status === 404) {
          await discard(answer);
          return fallbackReferrers(subject);
        }
        const index = parseManifest(await readAll(answer, manifestLimit), mediaTypes.imageIndex);
        if (isIndex(index)) found.push(...index.manifests);
        url = nextPage(answer);
      }
      return found;
    },
  };
}

function parseBase(baseUrl: string): { url: URL; authorization: string | undefined } {
  const url = URL.parse(baseUrl);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new CairnError('invalid-configuration', `${baseUrl} is not the address of a registry`, { fix: 'Give it as https://host[:port]' });
  }
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const secret = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { url, authorization: username === '' ? undefined : `Basic ${Buffer.from(secret).toString('base64')}` };
}

function nextPage(answer: Answer): URL | undefined {
  const [, link] = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.header('link') ?? '') ?? [];
  return link === undefined ? undefined : resolveLocation(answer.url, link);
}

function contentTypeOf(answer: Answer): string | undefined {
  return answer.header('content-type')?.split(';')[0]?.trim();
}

function checkDigest(wanted: string, actual: Digest, url: URL): void {
  if (parseDigest(wanted) === actual) return;
  throw new CairnError('digest-mismatch', `${url.host} gave ${actual} as ${wanted}`, { context: { expected: wanted, actual } });
}

function ifNotFound<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof CairnError && error.code === 'not-found') return value;
    throw error;
  };
}
