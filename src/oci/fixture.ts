// What the tests of this room share: a registry on a socket of its own over a temporary folder, and images to push.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '#core';
import {
  emptyBytes,
  emptyDescriptor,
  fileRepositories,
  fileStore,
  mediaTypes,
  registryHandler,
  type ContentStore,
  type Descriptor,
  type RegistryOptions,
  type Repositories,
} from '#oci';

export interface TestRegistry {
  readonly url: string;
  readonly folder: string;
  readonly store: ContentStore;
  readonly repositories: Repositories;
}

export async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-oci-'));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export async function withServer(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  run: (url: string) => Promise<void>,
): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

export async function withRegistry(
  run: (registry: TestRegistry) => Promise<void>,
  options: Partial<RegistryOptions> = {},
  before: (request: IncomingMessage, response: ServerResponse) => boolean = () => false,
): Promise<void> {
  await withFolder(async (folder) => {
    const store = fileStore(folder);
    const repositories = fileRepositories(join(folder, 'repositories'), store);
    const handle = registryHandler({ store, repositories, ...options });
    await withServer(
      (request, response) => {
        if (before(request, response)) return;
        void handle(request, response).then((ours) => ours || response.writeHead(404).end());
      },
      (url) => run({ url, folder, store, repositories }),
    );
  });
}

export function descriptorOf(bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Writes the blobs of a small image to a store and returns the manifest's bytes. */
export async function image(store: ContentStore, text: string, more: object = {}): Promise<Buffer> {
  const layer = Buffer.from(text);
  await store.write(layer);
  await store.write(emptyBytes);
  const layers = [descriptorOf(layer, mediaTypes.layerTar)];
  return json({ schemaVersion: 2, mediaType: mediaTypes.imageManifest, config: emptyDescriptor, layers, ...more });
}
