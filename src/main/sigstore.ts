import { join } from 'node:path';
import { ensureDurableDirectory, writeFileDurable } from '#core';
import type { HomePaths } from '#home';

/** What cosign is given with --trusted-root and --signing-config, in a folder of its own: nothing else in the home is for others' tools. */
export async function writeSigstoreFiles(paths: HomePaths, { trustedRoot, signingConfig }: { readonly trustedRoot: string; readonly signingConfig: string }): Promise<void> {
  await ensureDurableDirectory(paths.sigstore);
  await writeFileDurable(join(paths.sigstore, 'trusted_root.json'), trustedRoot);
  await writeFileDurable(join(paths.sigstore, 'signing_config.json'), signingConfig);
}
