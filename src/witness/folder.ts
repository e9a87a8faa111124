import { join } from 'node:path';
import { CairnError, ensureDurableDirectory, exists, type Faults } from '#core';
import { ownKey, type WitnessKey } from './own-key.ts';
import { openSeen, type SeenTrees } from './seen.ts';

/**
 * A witness's folder: its memory, then its key. In this order, so that there is never a key without a memory: where one is found, what it vouched for was lost, and it must not begin anew
 * under that name. @param name what it is to be called, where it has no key yet
 */
export async function openFolder(folder: string, name: string | undefined, random: (bytes: number) => string, faults: Faults): Promise<{ key: WitnessKey; seen: SeenTrees }> {
  const path = join(folder, 'seen.sqlite');
  await ensureDurableDirectory(folder, 0o700);
  if ((await exists(join(folder, 'witness.key'))) && !(await exists(path))) {
    throw new CairnError('storage', `${path} is gone: this witness has a key, and does not know what it vouched for`, {
      fix: 'Restore the newest copy of its folder; or move the folder away and begin a new witness, with a new key that its logs must be told',
    });
  }
  const seen = openSeen(path, faults);
  try {
    return { key: await ownKey(folder, name, random), seen };
  } catch (error) {
    seen.close();
    throw error;
  }
}
