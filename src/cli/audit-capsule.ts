import { resolve as absolute } from 'node:path';
import { sigstoreRoots } from '#home';
import { ArchiveWriter } from './archive-write.ts';
import { readCapsule } from './capsule-archive.ts';
import { checkCapsule } from './capsule-check.ts';
import { collectCapsule } from './capsule-collect.ts';
import type { Context } from './context.ts';
import { openFooting } from './footing.ts';
import { count, row, size } from './output.ts';
import { resolve } from './reference.ts';
import { openSession } from './session.ts';
import { trustFileOf } from './trust.ts';

/** Writes a release and all that was decided about it to one file, then reads it back as whoever gets it will. */
export async function auditCapsule(context: Context, json: boolean, file: string, reference: string | undefined): Promise<object> {
  const { system } = context;
  const session = await openSession(system);
  const { environments } = await session.api.info();
  const { application, release, label } = await resolve(system, session, reference ?? environments.at(-1)?.name ?? '');
  let footing = await openFooting(system, session);
  const { witnesses = [] } = footing.policy;
  if (witnesses.length > 0) {
    // A while is given to those that have not seen the newest entries yet: what they say goes along.
    await session.api.witnessed(footing.checkpoint.size, witnesses.length);
    footing = await openFooting(system, session);
  }
  const trustFile = await trustFileOf(system, session.home);
  const { roots } = await sigstoreRoots(session.home.paths);
  const { about, files } = await collectCapsule({ session, footing, trustFile, roots, application, release, version: system.version, created: system.clock.now().toISOString() });
  const path = absolute(system.directory, file);
  const archive = await ArchiveWriter.create(path, 0o644);
  try {
    for (const [name, bytes] of files) await archive.bytes(name, bytes, 0o644);
    await archive.finish(about);
  } catch (error) {
    await archive.abandon();
    throw error;
  }
  const read = await readCapsule(path);
  const { held, policies, decided, checkpoint } = await checkCapsule(read.about, read.files, { file: trustFile, roots });
  if (!json) {
    row(context, 'capsule', path, size(read.bytes), count(files.size, 'file'));
    row(context, 'release', label);
    row(context, 'holds', `${count(held.length, 'statement')}, ${count(decided.length, 'verdict')}, ${count(policies.length, 'version')} of the policy`, `proven by checkpoint ${checkpoint.root.slice(0, 12)}`);
    row(context, 'without', `${count(about.without.length, 'layer')} and other blobs`, 'their digests are bound by what is in it');
    row(context, 'next', `cairn verify --capsule ${file}`, 'works on any machine, with the network gone; README.md in it does the same with cosign');
  }
  return { file: path, bytes: read.bytes, files: files.size, application, release, statements: held.length, verdicts: decided.length, policies: policies.length, checkpoint: { size: checkpoint.size, root: checkpoint.root } };
}
