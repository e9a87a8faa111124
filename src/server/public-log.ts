import type { IncomingMessage, ServerResponse } from 'node:http';
import { asCairnError, CairnError, sha256, type Clock } from '#core';
import type { OpenLedger } from '#ledger';
import { entryBundle, parseTilePath, readRekorRequest, tileWidth } from '#log';
import { mostRequestBytes, Strangers } from './strangers.ts';

// What the log is to others, without a token: C2SP tlog-tiles (checkpoint, tiles, entry bundles), Rekor v2's one write, and the two
// files by which cosign finds and trusts it. In bare node:http: bytes flow here, and a cache may stand in front.

export interface PublicLogOptions {
  readonly ledger: OpenLedger;
  readonly clock: Clock;
  /** The newest checkpoint as it is shown to others, with the cosignatures that were gathered; the ledger's own where this is absent. */
  readonly published?: (() => Promise<string>) | undefined;
  /** Texts of TrustedRoot and SigningConfig. */
  readonly sigstore: () => { readonly trustedRoot: string; readonly signingConfig: string };
}

/** What stays as it is for ever, whoever asks. */
const forever = 'public, max-age=31536000, immutable';
/** A partial tile stays too, but nobody asks for it again once the log has grown. */
const forADay = 'public, max-age=86400';

/** @returns whether the request was one of these. */
export function publicLog(options: PublicLogOptions): (request: IncomingMessage, response: ServerResponse) => Promise<boolean> {
  const { ledger, clock, sigstore } = options;
  let strangers: Promise<Strangers> | undefined;
  const rekor = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    strangers ??= ledger.strangersOfToday().then((today) => new Strangers(clock, today, ledger.waiting));
    await answerRekor(await strangers, ledger, request, response);
  };
  return async (request, response) => {
    const { method, url = '/' } = request;
    const [path = '/'] = url.split('?');
    if (path === '/api/v2/log/entries') {
      if (method === 'POST') await rekor(request, response);
      else response.writeHead(405, { allow: 'POST' }).end();
      return true;
    }
    const found = path === '/checkpoint' || path.startsWith('/tile/') || path.startsWith('/sigstore/');
    if (!found) return false;
    if (method !== 'GET' && method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return true;
    }
    if (path === '/checkpoint') {
      const note = await newestNote(options);
      answer(request, response, note, 'text/plain; charset=utf-8', 'no-cache');
    } else if (path.startsWith('/tile/')) {
      const tile = await readTile(ledger, path.slice(1));
      answer(request, response, tile?.bytes, 'application/octet-stream', tile?.partial === true ? forADay : forever);
    } else {
      const { trustedRoot, signingConfig } = sigstore();
      const text = { '/sigstore/trusted_root.json': trustedRoot, '/sigstore/signing_config.json': signingConfig }[path];
      answer(request, response, text, 'application/json', 'no-cache');
    }
    return true;
  };
}

export async function newestNote({ ledger, published }: Pick<PublicLogOptions, 'ledger' | 'published'>): Promise<string | undefined> {
  const own = await ledger.checkpoint();
  return own === undefined || published === undefined ? own?.note : published();
}

/** The tile at exactly this path, and only as far as the checkpoint goes: what is beyond it may yet become another. */
async function readTile(ledger: OpenLedger, path: string): Promise<{ bytes: Buffer; partial: boolean } | undefined> {
  const tile = parseTilePath(path);
  if (tile === undefined) return undefined;
  const { level, index, width } = tile;
  const size = (await ledger.checkpoint())?.size ?? 0;
  const first = index * tileWidth;
  const count = level === 'entries' ? size : Math.floor(size / tileWidth ** level);
  if (first + width > count) return undefined;
  const partial = width < tileWidth;
  if (level === 'entries') return { bytes: entryBundle(await ledger.bodies(first, first + width)), partial };
  const hashes = await ledger.tile(level, index);
  if (hashes === undefined || hashes.byteLength < width * 32) throw new CairnError('storage', `the log's tile ${path} is damaged`, { fix: 'cairn audit' });
  return { bytes: Buffer.from(hashes).subarray(0, width * 32), partial };
}

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer | string | undefined, type: string, cache: string): void {
  if (body === undefined) return void response.writeHead(404, { 'cache-control': 'no-cache' }).end();
  const bytes = Buffer.from(body);
  const etag = `"${sha256(bytes).toString('hex').slice(0, 32)}"`;
  const headers = { etag, 'cache-control': cache };
  if (request.headers['if-none-match'] === etag) return void response.writeHead(304, headers).end();
  response.writeHead(200, { ...headers, 'content-type': type, 'content-length': bytes.byteLength });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

/** Rekor v2: 201 and nothing else is a success to cosign, also for an entry that was there before. Refusals are gRPC's, as its gateway writes them. */
async function answerRekor(strangers: Strangers, ledger: OpenLedger, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const refuse = (status: number, code: number, message: string, headers: Record<string, string> = {}) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ code, message, details: [] }));
  const wait = strangers.ask();
  if (wait > 0) return refuse(429, 8, 'the log takes no more entries of others for now', { 'retry-after': String(wait) });
  const text = await readBody(request);
  if (text === undefined) return refuse(413, 3, `a request has at most ${mostRequestBytes} bytes`, { connection: 'close' });
  try {
    const { entry, fresh } = await ledger.log(readRekorRequest(parse(text)));
    if (fresh) strangers.added();
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(entry));
  } catch (thrown) {
    const error = asCairnError(thrown);
    if (error.code !== 'malformed-document' && error.code !== 'verification-failed' && error.code !== 'refused') throw error;
    refuse(400, 3, error.message);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CairnError('malformed-document', 'the request is not JSON', { cause });
  }
}

/** Undefined where there is more than is taken. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > mostRequestBytes) return undefined;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.byteLength;
      if (length > mostRequestBytes) return void resolve(undefined);
      chunks.push(chunk);
    });
    request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8'))).once('error', reject);
  });
}
