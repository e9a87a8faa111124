import { canonicalJson, digestOf, type Digest } from '#core';

/** What a revision runs. Configuration is the environment's own settings; the defaults are bound by the release digest. */
export interface Content {
  readonly release: Digest;
  readonly configuration: Readonly<Record<string, string>>;
  /** Secret name to pinned version; values are never part of it. */
  readonly secrets: Readonly<Record<string, number>>;
}

export function configurationDigest(configuration: Readonly<Record<string, string>>): Digest {
  return digestOf(canonicalJson(configuration));
}

/** One hash over release, configuration and secret versions: the unit that is deployed and returned to. */
export function contentHash(content: Content): Digest {
  const { release, configuration, secrets } = content;
  return digestOf(canonicalJson({ kind: 'content', release, configuration: configurationDigest(configuration), secrets }));
}
