import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Envelope } from '#attest';
import { parseDigest, type Digest } from '#core';
import { homePaths, readToken } from '#home';
import { generateSigner, spkiOf } from '#sign';
import { apiClient } from '#server';
import type { Place } from './place.ts';

// What somebody would try who wants other bytes in production than those that were released.

interface Manifest {
  readonly manifests?: readonly { readonly digest: Digest; readonly annotations?: Readonly<Record<string, string>> }[];
  readonly layers?: readonly { readonly digest: Digest }[];
}

async function manifest(place: Place, reference: string): Promise<{ bytes: Buffer; type: string; parsed: Manifest }> {
  const response = await fetch(`http://127.0.0.1:${place.port}/v2/shop/manifests/${reference}`, { headers: { accept: '*/*' } });
  if (!response.ok) throw new Error(`the registry answers ${response.status} for ${reference}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  return { bytes, type: response.headers.get('content-type') ?? '', parsed: JSON.parse(bytes.toString()) as Manifest };
}

/** Turns one bit of the last layer of `web`, on the disk of the registry. Gives the layer's digest and the way to undo it. */
export async function flipByte(place: Place, release: Digest): Promise<{ layer: Digest; undo(): Promise<void> }> {
  const index = await manifest(place, release);
  const web = index.parsed.manifests?.find(({ annotations }) => annotations?.['internal.cairn.component'] === 'web');
  const layer = (await manifest(place, parseDigest(web?.digest ?? ''))).parsed.layers?.at(-1)?.digest;
  if (layer === undefined) throw new Error('the release has no layer to spoil');
  const path = join(place.home, 'registry/content/blobs/sha256', layer.slice(7, 9), layer.slice(7));
  const bytes = await readFile(path);
  const spoil = async () => {
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(path, bytes);
  };
  await spoil();
  return { layer, undo: spoil };
}

/** Points a tag at one release, then at another. Gives both answers' states. */
export async function moveTag(place: Place, tag: string, first: Digest, second: Digest): Promise<[number, number]> {
  const put = async (release: Digest) => {
    const { bytes, type } = await manifest(place, release);
    const url = `http://127.0.0.1:${place.port}/v2/shop/manifests/${tag}`;
    const response = await fetch(url, { method: 'PUT', headers: { 'content-type': type }, body: new Uint8Array(bytes) });
    await response.arrayBuffer();
    return response.status;
  };
  return [await put(first), await put(second)];
}

/** Test results that nobody's tests gave, signed with a key that nobody knows. @throws CairnError */
export async function forgeWithOwnKey(place: Place, release: Digest): Promise<void> {
  const stranger = generateSigner('ecdsa');
  const predicate = { result: 'PASSED', configuration: [], 'https://cairn.internal/tests/v1': { passed: 99, failed: 0 } };
  const statement = makeStatement({ predicateType: predicateTypes.tests, subject: [subjectOf('shop', release)], predicate });
  await send(place, signEnvelope(statement, stranger), spkiOf(stranger.publicKey).toString('base64'));
}

/** Ada's own signature, from what she said about one release, under words about another. @throws CairnError */
export async function swapPayload(place: Place, from: Digest, to: Digest): Promise<void> {
  const referrers = (await (await fetch(`http://127.0.0.1:${place.port}/v2/shop/referrers/${from}`)).json()) as Manifest;
  const one = referrers.manifests?.find(({ annotations }) => annotations?.['dev.sigstore.bundle.predicateType'] === predicateTypes.provenance);
  const layer = (await manifest(place, one?.digest ?? '')).parsed.layers?.[0]?.digest;
  const bundle = (await (await fetch(`http://127.0.0.1:${place.port}/v2/shop/blobs/${layer}`)).json()) as { dsseEnvelope: Envelope };
  const { payload, ...rest } = bundle.dsseEnvelope;
  const words = Buffer.from(payload, 'base64').toString().replaceAll(from.slice(7), to.slice(7));
  const ada = (await readFile(join(place.home, 'people/ada.pub'), 'utf8')).replaceAll(/-----[^-]+-----|\s/g, '');
  await send(place, { ...rest, payload: Buffer.from(words).toString('base64') }, ada);
}

/** With the API's token, as somebody who has taken over Ada's machine but not her passphrase. */
async function send(place: Place, envelope: Envelope, key: string): Promise<void> {
  const api = apiClient(`http://127.0.0.1:${place.port}`, await readToken(homePaths(place.home)));
  await api.addStatement('shop', { envelope, key });
}
