import { stat } from 'node:fs/promises';
import { canonicalJson, digestOf, type Digest } from '#core';
import { seedRoot, type SigstoreRoot } from '#verify';
import type { HomePaths } from './home.ts';
import { sigstoreRoots } from './roots.ts';

export interface BelievedRoots {
  /** As they stand now: ones that were replaced count from the next decision on. @throws CairnError `malformed-document`: damaged ones make nothing count, they are not passed over */
  load(): Promise<readonly SigstoreRoot[]>;
  /** Digest of those that were loaded last. */
  digest(): Digest;
}

/** The roots of this home for a process that goes on asking: read again only where the file is another. */
export function believedRoots(paths: HomePaths): BelievedRoots {
  let current: { readonly mark: string; readonly roots: readonly SigstoreRoot[] } | undefined;
  return {
    async load() {
      const { ino = 0, mtimeMs = 0, size = 0 } = (await stat(paths.roots).catch(() => undefined)) ?? {};
      const mark = `${ino} ${mtimeMs} ${size}`;
      if (current?.mark !== mark) current = { mark, roots: (await sigstoreRoots(paths)).roots };
      return current.roots;
    },
    digest: () => digestOf(canonicalJson((current?.roots ?? [seedRoot()]).map((one) => one.digest))),
  };
}
