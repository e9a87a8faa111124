// Assets have the hash of their bytes in the name: a browser may keep them for ever, and a page of one release never gets the
// style sheet of another. The gateway serves them; this says only what they are called.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The folder of the `assets` component of the same release; on a desk, what `npm run build` made. */
export const assetsFolder = process.env.CAIRN_FILES_ASSETS ?? join(import.meta.dirname, '..');

export function assetNames(folder = assetsFolder) {
  const names = JSON.parse(readFileSync(join(folder, 'assets/names.json'), 'utf8'));
  return (name) => `/assets/${names[name] ?? name}`;
}
