import type { Digest } from '#core';
import type { Descriptor } from './descriptor.ts';

/** A manifest as it was pushed: its bytes are never written again from what was parsed. */
export interface StoredManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

/**
 * Manifests, tags and referrers by repository name.
 *
 * Durability: what `putManifest` returned for survives a power cut, together with its tag and its entry among the referrers.
 * Consistency: a tag is written once; the same digest again is fine, another one is refused. Evidence tags (`sha256-<hex>`, with
 * or without `.sig`, `.att`, `.sbom`) move, and the last write wins. A manifest that can be read is listed under its subject.
 * Concurrency: any number of processes; of racing writers of one tag exactly one wins. Who retries: the caller; every call may
 * be repeated.
 */
export interface Repositories {
  /**
   * Everything that the manifest names must be here, with the size it states; only its subject may come later.
   * @throws CairnError `malformed-document`, `not-found` (of what it names), `digest-mismatch` (with the reference),
   * `tag-immutable`, `invalid-digest`, `invalid-configuration` (the name), `unknown-reference` (not a tag)
   */
  putManifest(
    name: string,
    reference: string,
    bytes: Uint8Array,
    mediaType?: string,
  ): Promise<{ readonly digest: Digest; readonly subject?: Digest }>;
  /** @throws CairnError `not-found`, `digest-mismatch` (the stored bytes have changed) */
  getManifest(name: string, reference: string): Promise<StoredManifest>;
  /** Whether the repository serves a blob, and its size in bytes. */
  blobSize(name: string, digest: Digest): Promise<number | undefined>;
  /** In the order of their bytes. @throws CairnError `not-found` for a repository that holds no manifest */
  tags(name: string): Promise<string[]>;
  /** As `referrers`, one after another and from behind the digest `after` on: however many there are, they cost who looks no memory. */
  eachReferrer(name: string, subject: Digest, after: string): AsyncIterable<Descriptor>;
  /** Digests of what refers to the subject and when each came (milliseconds, by the disk), unread and in no order; without those that `skip` names. */
  arrivals(name: string, subject: Digest, skip: (digest: Digest) => boolean): AsyncIterable<{ readonly digest: Digest; readonly at: number }>;
  /** In the order of their digests; empty where nothing refers to it, known or not. */
  referrers(name: string, subject: Digest): Promise<Descriptor[]>;
}
