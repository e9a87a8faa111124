import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CairnError } from '#core';
import { homePaths, putSigstoreRoots, sigstoreRoots } from '#home';
import type { SigstoreRoot } from '#verify';
import type { Context } from './context.ts';
import { row, run, short, type CommonFlags } from './output.ts';

/** Believes the authorities of a TrustedRoot file from now on, in the place of those before. */
export async function putRoot(this: Context, flags: CommonFlags, file: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const bytes = await readFile(resolve(system.directory, file)).catch((cause: unknown) => {
      throw new CairnError('not-found', `${file} cannot be read: ${(cause as Error).message}`, { cause, fix: 'Give the path of a trusted_root.json, or of what gh attestation trusted-root prints' });
    });
    const paths = homePaths(system.home);
    const before = (await sigstoreRoots(paths).catch(() => undefined))?.roots.map((one) => one.digest) ?? [];
    const roots = await putSigstoreRoots(paths, bytes);
    if (!flags.json) print(this, roots);
    return { from: 'home' as const, path: paths.roots, replaced: before, roots: roots.map(told) };
  });
}

/** Who is believed about keyless signatures, and since when until when. */
export async function showRoots(this: Context, flags: CommonFlags): Promise<void> {
  await run(this, flags, async () => {
    const paths = homePaths(this.system.home);
    const { from, roots } = await sigstoreRoots(paths);
    if (!flags.json) {
      print(this, roots);
      if (from === 'seed') row(this, 'next', 'this is what Cairn came with; it ages', 'cairn trust root FILE');
    }
    return { from, path: from === 'seed' ? null : paths.roots, replaced: [], roots: roots.map(told) };
  });
}

function told(root: SigstoreRoot) {
  const span = ({ from, until }: { readonly from: number; readonly until: number }) => ({ from: day(from), until: until === Infinity ? null : day(until) });
  return {
    digest: root.digest,
    logs: root.logs.map((one) => ({ name: one.host, id: one.id.toString('base64'), ...span(one) })),
    certificateAuthorities: root.authorities.map((one) => ({ name: one.name, ...span(one) })),
    certificateLogs: root.certificateLogs.map((one) => ({ name: one.url, ...span(one) })),
    timestampAuthorities: root.timestampAuthorities.map((one) => ({ name: one.name, ...span(one) })),
  };
}

function print(context: Context, roots: readonly SigstoreRoot[]): void {
  for (const root of roots.map(told)) {
    row(context, 'root', short(root.digest), root.digest);
    const kinds = [['log', root.logs], ['issuer', root.certificateAuthorities], ['ct log', root.certificateLogs], ['time', root.timestampAuthorities]] as const;
    for (const [label, list] of kinds) for (const { name, from, until } of list) row(context, label, name, `${from.slice(0, 10)} to ${until?.slice(0, 10) ?? 'now on'}`);
  }
}

function day(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
