import type { Bundle } from '#attest';
import { sigstoreRoots, type Home } from '#home';
import { readForeign } from '#verify';
import type { Footing } from './footing.ts';

/** Whether another tool signed the bundle with one of the keys, and it holds. */
export async function isForeign(bundle: Bundle, footing: Footing, keys: readonly string[], home: Home): Promise<boolean> {
  const { roots } = await sigstoreRoots(home.paths);
  try {
    readForeign({ form: 'bundle', bundle: JSON.stringify(bundle) }, { roots, keys, ours: footing.log });
    return true;
  } catch {
    return false;
  }
}
