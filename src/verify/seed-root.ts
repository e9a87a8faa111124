import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSigstoreRoot, type SigstoreRoot } from './sigstore-root.ts';

/**
 * The trusted root of the public-good instance of Sigstore, as the npm package @sigstore/tuf 5.0.1 carries it for its start
 * (`seeds.json`, target `trusted_root.json`), byte for byte. It ages: `cairn trust root FILE` puts a newer one in its place.
 */
export function seedRoot(): SigstoreRoot {
  seed ??= parseSigstoreRoot(readFileSync(join(import.meta.dirname, 'roots/sigstore-public-good.json')));
  return seed;
}

let seed: SigstoreRoot | undefined;
