import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Statement } from '#attest';
import { CairnError, canonicalJson, digestOf } from '#core';
import { lockedOut, packageIdentity, parsePolicy, type Policy } from '#policy';
import type { Touched } from '#release';
import { spkiOf, type Signer } from '#sign';
import type { Context, System } from './context.ts';
import { count, row, run, short, type CommonFlags } from './output.ts';
import { openSession, ownSigner, persist, personName, readDefinition, resolveRelease, type Session } from './session.ts';

export interface RevokeFlags extends CommonFlags {
  readonly reason: string;
  readonly key?: string;
  readonly package?: string;
  readonly after?: number;
  readonly lockOut: boolean;
}

interface Target {
  readonly kind: 'release' | 'key' | 'package';
  /** The release, the key or the package URL. */
  readonly what: string;
  /** Without person, nonce and reason. */
  readonly statement: (signed: { by: string; nonce: string; reason: string }) => Statement;
}

/** For ever: a release, a key or a package counts for nothing any more. What runs is not touched, but named, each with its way back. */
export async function revoke(this: Context, flags: RevokeFlags, reference?: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const session = await openSession(system);
    const targets = await targetsOf(system, session, flags, reference);
    const signer = await ownSigner(system, session.home);
    const own = spkiOf(signer.publicKey).toString('base64');
    if (!flags.lockOut) await requireNoLockOut(session, targets);
    const running = new Map<string, Touched>();
    // One's own key last: it signs the others.
    for (const { statement } of targets.toSorted((a, b) => Number(a.what === own) - Number(b.what === own))) {
      const signed = signedBy(signer, statement({ by: personName(system), nonce: system.random(16), reason: flags.reason }));
      for (const one of await persist(system, () => session.api.revoke(signed))) running.set(`${one.application}/${one.environment}/${one.revision}`, one);
    }
    const touched = [...running.values()];
    if (!flags.json) print(this, targets, touched);
    return { revoked: targets.map(({ kind, what }) => ({ kind, what })), running: touched };
  });
}

export function signedBy(signer: Signer, statement: Statement) {
  return { envelope: signEnvelope(makeStatement(statement), signer), key: spkiOf(signer.publicKey).toString('base64') };
}

function print(context: Context, targets: readonly Target[], running: readonly Touched[]): void {
  // A key by its fingerprint, as `cairn key list` shows it.
  for (const { kind, what } of targets) row(context, 'revoked', kind, kind === 'key' ? digestOf(Buffer.from(what, 'base64')) : what);
  row(context, 'touches', count(running.length, 'running revision'));
  for (const { application, environment, revision, release, what, back, problem, fix } of running) {
    row(context, 'runs', `${application} in ${environment}, revision ${revision}, ${short(release)}`, what);
    row(context, '', back === null ? `no way back: ${problem}` : `back to revision ${back.revision}, ${short(back.release)}`, fix);
  }
}

async function targetsOf(system: System, session: Session, flags: RevokeFlags, reference: string | undefined): Promise<Target[]> {
  const { key, package: wanted, after } = flags;
  if ([reference, key, wanted].filter((one) => one !== undefined).length !== 1 || (after !== undefined && key === undefined)) {
    throw new CairnError('usage', 'it takes one of a release, a key or a package to revoke', { fix: 'cairn revoke DIGEST --reason TEXT, or --key FILE.pub|PERSON|BASE64 [--after LOG-ENTRY], or --package pkg:npm/left-pad@1.3.0' });
  }
  if (key !== undefined) return keysOf(session, key).then((keys) => keys.map((one) => keyTarget(one, after ?? null)));
  if (wanted !== undefined) return [packageTarget(wanted)];
  const { application } = await readDefinition(system);
  const release = await persist(system, () => resolveRelease(session.api, application, reference ?? ''));
  return [{ kind: 'release', what: release, statement: (signed) => ({ predicateType: predicateTypes.revocation, subject: [subjectOf(application, release)], predicate: { application, ...signed } }) }];
}

function keyTarget(key: string, after: number | null): Target {
  const subject = subjectOf('key', digestOf(Buffer.from(key, 'base64')));
  return { kind: 'key', what: key, statement: (signed) => ({ predicateType: predicateTypes.keyRevocation, subject: [subject], predicate: { key, after, ...signed } }) };
}

function packageTarget(wanted: string): Target {
  const identity = packageIdentity(wanted);
  if (identity === undefined) throw new CairnError('usage', `"${wanted}" is no package URL`, { fix: 'pkg:npm/left-pad@1.3.0; without the version, all of them' });
  const purl = identity.version === null ? identity.package : `${identity.package}@${encodeURIComponent(identity.version)}`;
  return { kind: 'package', what: purl, statement: (signed) => ({ predicateType: predicateTypes.packageRevocation, subject: [subjectOf('package', digestOf(purl))], predicate: { purl, ...signed } }) };
}

/** A public key file, a person of the policy, which means all of their keys, or a key as the policy writes it. */
async function keysOf({ api }: Session, wanted: string): Promise<string[]> {
  if (wanted.endsWith('.pub')) {
    const text = await readFile(wanted, 'utf8').catch((cause: unknown) => {
      throw new CairnError('usage', `${wanted} cannot be read`, { cause, fix: 'cairn key list names the files of this machine' });
    });
    return [normalKey(() => createPublicKey(text), wanted)];
  }
  const { people } = await policyOf(api);
  const person = people.find(({ name }) => name === wanted);
  if (person !== undefined && person.keys.length === 0) throw new CairnError('usage', `${wanted} has no key: they sign by identity`, { fix: 'Take the identity out of the policy' });
  if (person !== undefined) return [...person.keys];
  return [normalKey(() => createPublicKey({ key: Buffer.from(wanted, 'base64'), format: 'der', type: 'spki' }), wanted)];
}

function normalKey(read: () => ReturnType<typeof createPublicKey>, wanted: string): string {
  try {
    return spkiOf(read()).toString('base64');
  } catch (cause) {
    throw new CairnError('usage', `"${wanted.slice(0, 80)}" is neither a person of the policy nor a public key`, { cause, fix: 'cairn key list; give a .pub file, a name or a whole base64 key' });
  }
}

async function policyOf(api: Session['api']): Promise<Policy> {
  return parsePolicy(canonicalJson(await api.policy()));
}

/** Whoever revokes the last key that could do something is told before, not after. */
async function requireNoLockOut({ api }: Session, targets: readonly Target[]): Promise<void> {
  const keys = targets.filter(({ kind }) => kind === 'key').map(({ what }) => ({ key: what }));
  if (keys.length === 0) return;
  const [policy, { keys: before }] = await Promise.all([policyOf(api), api.revoked()]);
  const known = new Set(lockedOut(policy, before));
  const lost = lockedOut(policy, [...before, ...keys]).filter((one) => !known.has(one));
  if (lost.length === 0) return;
  throw new CairnError('refused', `with that key gone ${lost.join('; ')}; nothing was revoked`, {
    fix: 'Have the policy changed first, so that somebody else can (cairn policy propose); or, if the key is in wrong hands and that must wait: the same command with --lock-out',
    context: { lost },
  });
}
