import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CairnError, verificationFailed } from '#core';
import { parseSigstoreRoots, parseTrustFile, seedRoot } from '#verify';
import { readCapsule } from './capsule-archive.ts';
import { checkCapsule, type CapsuleReport, type GivenTrust } from './capsule-check.ts';
import type { Context, System } from './context.ts';
import { count, row, short, size } from './output.ts';

export interface CapsuleFlags {
  readonly json: boolean;
  readonly trust?: string;
  readonly sigstoreRoot?: string;
  readonly trustCapsule: boolean;
}

/** Checks a capsule from its bytes, and makes each of its decisions again. Needs neither network nor home: only trust that came another way. */
export async function verifyCapsule(context: Context, flags: CapsuleFlags, file: string): Promise<object> {
  const { system } = context;
  const read = await readCapsule(resolve(system.directory, file));
  const { about } = read;
  const given = await trustAtHand(system, flags);
  const report = await checkCapsule(about, read.files, given);
  const { trust, held, policies, checkpoint, decided } = report;
  if (!flags.json) print(context, report, about.application, about.release, { bytes: read.bytes, files: read.files.size, without: about.without.length }, given?.path);
  return {
    application: about.application, release: about.release, origin: about.origin,
    trust: { digest: trust, from: given === undefined ? 'capsule' : 'given' },
    checkpoint: { size: checkpoint.size, root: checkpoint.root, time: checkpoint.time }, witnesses: report.witnesses,
    statements: held.map(({ kind, statement, envelope, logIndex, time, path }) => ({ kind, predicateType: statement.predicateType, envelope, logIndex, time, path })),
    policies: policies.map(({ policy, digest, logIndex }) => ({ version: policy.version, digest, from: logIndex })),
    verdicts: decided,
    without: about.without.length,
  };
}

/** From --trust, or the repository at hand. What a capsule brings along itself proves nothing about who made it. */
async function trustAtHand(system: System, { trust, trustCapsule, sigstoreRoot }: CapsuleFlags): Promise<({ path: string } & GivenTrust) | undefined> {
  if ((trust !== undefined || sigstoreRoot !== undefined) && trustCapsule) throw new CairnError('usage', '--trust-capsule takes all trust from the capsule, and another was given', { fix: 'Give one of them' });
  if (trustCapsule) return undefined;
  const path = resolve(system.directory, trust ?? 'cairn.trust.json');
  const bytes = await readFile(path).catch((cause: unknown) => {
    if (trust !== undefined) throw new CairnError('usage', `${path} cannot be read: ${(cause as Error).message}`, { cause, fix: 'Name the cairn.trust.json of the repository' });
    throw verificationFailed('trust-missing', `there is no cairn.trust.json in ${join(system.directory, '.')}, and the capsule's own is only as good as where you got the capsule`, {
      fix: 'Give the one of the repository: --trust cairn.trust.json; or say --trust-capsule, where you trust whoever gave you the capsule',
    });
  });
  const roots = sigstoreRoot === undefined ? [seedRoot()] : parseSigstoreRoots(await readFile(resolve(system.directory, sigstoreRoot)).catch((cause: unknown) => {
    throw new CairnError('usage', `${sigstoreRoot} cannot be read: ${(cause as Error).message}`, { cause, fix: 'Name a trusted_root.json of Sigstore' });
  }));
  return { path, file: parseTrustFile(bytes), roots };
}

function print(context: Context, { held, policies, checkpoint, witnesses, decided }: CapsuleReport, application: string, release: string, archive: { bytes: number; files: number; without: number }, trust: string | undefined): void {
  row(context, 'capsule', `${application} ${release}`);
  row(context, 'ok', 'archive', `${count(archive.files, 'file')}, ${size(archive.bytes)}`, 'each as its manifest says');
  row(context, trust === undefined ? '' : 'ok', 'trust', trust ?? "the capsule's own: it proves nothing about who made it");
  row(context, 'ok', 'release', 'hashed from its digest down', `${count(archive.without, 'layer')} and other blobs are not in it`);
  row(context, 'ok', 'statements', `${count(held.length, 'signature')} and log proofs`, `the newest at ${held.at(-1)?.logIndex ?? 0}`);
  row(context, 'ok', 'log', `${count(checkpoint.size, 'entry', 'entries')}, one history`, `checkpoint ${checkpoint.root.slice(0, 12)} of ${dateOf(checkpoint.time)}`);
  if (witnesses.length > 0) row(context, 'ok', 'witnesses', `${count(witnesses.length, 'witness', 'witnesses')} of the policy saw that checkpoint`, witnesses.map(({ name }) => name).join(', '));
  row(context, 'ok', 'policy', `${count(policies.length, 'version')}, from the one that trust names`, `version ${policies.at(-1)?.policy.version ?? 0} ${short(policies.at(-1)?.digest ?? '')}`);
  for (const { environment, revision, result, policy, decided: again, weighed, later, logIndex } of decided) {
    const said = `${result === 'PASSED' ? 'let into' : 'refused for'} ${environment}, revision ${revision}`;
    if (again) row(context, 'ok', 'decided', `${said}, logged ${logIndex}`, `${count(weighed, 'statement')} and version ${policy} of the policy say the same again`, later === 0 ? '' : `${count(later, 'statement')} came too late for it`);
    else row(context, '', 'verdict', `${said}, logged ${logIndex}`, 'signed and logged, but from before verdicts said what they rest on: not decided again');
  }
  const unproven = [...new Set(decided.flatMap((one) => one.unproven))];
  if (unproven.length > 0) row(context, 'word', `of the record key alone: ${unproven.join('; ')}`);
  for (const { logIndex } of held.filter(({ kind }) => kind === 'revocation')) row(context, 'no', 'revoked', `by the statement at log entry ${logIndex}: it is let in nowhere from there on`);
  row(context, 'holds', `all of ${application} ${short(release)}`);
}

function dateOf(time: number): string {
  return `${new Date(time * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
