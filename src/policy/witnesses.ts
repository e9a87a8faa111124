import { CairnError } from '#core';
import { algorithms, formatVkey, parseVkey } from '#log';

/**
 * Whoever runs two witnesses under one key, or lists one under two names, would count twice and vouch once. @throws CairnError `malformed-document`
 * @returns the key of each without its name, in order: what must be distinct
 */
export function witnessKeys(witnesses: readonly { readonly name: string; readonly key: string; readonly url: string }[]): string[] {
  return witnesses.map(({ name, key: vkey, url }) => {
    const key = parseVkey(vkey);
    if (key.algorithm !== algorithms.cosignature) throw new CairnError('malformed-document', `policy: the key of the witness ${name} signs notes, not cosignatures`, { fix: `Take the key that cairn witness prints there` });
    if (!/^https?:$/.test(new URL(url).protocol)) throw new CairnError('malformed-document', `policy: the witness ${name} is asked over HTTP, not at ${url.slice(0, 80)}`);
    return formatVkey(key).slice(key.name.length + 10);
  });
}
