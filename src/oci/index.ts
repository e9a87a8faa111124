// oci: content by digest, manifests, and both ends of the registry protocol (opencontainers/distribution-spec 1.1).
export { copyTree } from './copy.ts';
export { registryClient, type RegistryClient } from './client.ts';
export {
  emptyBytes,
  emptyDescriptor,
  isIndex,
  isManifestType,
  manifestLimit,
  mediaTypes,
  parseManifest,
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
  type Platform,
} from './descriptor.ts';
export { fileRepositories } from './file-repositories.ts';
export type { Answer, Send } from './http.ts';
export { fileStore } from './file-store.ts';
export { memoryStore } from './memory-store.ts';
export { checkRepositoryName, fallbackTag } from './names.ts';
export type { Repositories, StoredManifest } from './repository.ts';
export { registryHandler, type RegistryOptions } from './server.ts';
export type { ByteRange, ContentStore, Expected } from './store.ts';
