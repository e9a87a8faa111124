import { readFile } from 'node:fs/promises';
import { basename, resolve as resolvePath } from 'node:path';
import { stringify } from 'yaml';
import { makeStatement, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { CairnError, type Digest } from '#core';
import { checkPolicy, placesText, policyDigest, readPolicyFile, requireSound, type Policy, type PolicyProblem, type PolicyVersion } from '#policy';
import type { PoliciesAnswer, SignedAnswer } from '#server';
import { spkiOf } from '#sign';
import type { Context, System } from './context.ts';
import { openFooting, type Footing } from './footing.ts';
import { count, row, run, short, type CommonFlags } from './output.ts';
import { changeLines, policyLines } from './policy-lines.ts';
import { openSession, ownSigner, persist, personName, type Session } from './session.ts';

/** The policy in force, as its people signed it; with --yaml to edit. */
export async function show(this: Context, flags: CommonFlags & { yaml: boolean }): Promise<void> {
  await run(this, flags, async () => {
    const footing = await openFooting(this.system, await openSession(this.system));
    const version = newest(footing);
    if (flags.yaml) return void this.system.out(yamlOf(version));
    if (!flags.json) {
      row(this, 'policy', `version ${version.policy.version}`, version.digest, `in force behind entry ${version.logIndex}`);
      for (const [label, ...columns] of policyLines(version.policy)) row(this, label, ...columns);
      row(this, 'next', 'cairn policy show --yaml > policy.yaml, edit it, cairn policy check policy.yaml');
    }
    return { version: version.policy.version, digest: version.digest, logIndex: version.logIndex, policy: version.policy };
  });
}

function yamlOf({ policy, digest }: PolicyVersion): string {
  const { kind: _, version, previous: __, ...rest } = policy;
  return `# Version ${version} of the policy, ${digest}. cairn policy propose makes what stands here version ${version + 1}.\n${stringify(rest, { lineWidth: 160 })}`.trimEnd();
}

/** Versions that were in force, and proposals that wait for signatures. */
export async function list(this: Context, flags: CommonFlags): Promise<void> {
  await run(this, flags, async () => {
    const session = await openSession(this.system);
    const { policies } = await openFooting(this.system, session);
    const { proposals } = await session.api.policies();
    const waiting = proposals.filter(({ digest }) => !policies.versions.some((one) => one.digest === digest));
    if (!flags.json) {
      for (const { policy, digest, logIndex } of policies.versions) row(this, digest === policies.versions.at(-1)?.digest ? 'in force' : '', `version ${policy.version}`, short(digest), `from entry ${logIndex}`);
      for (const one of waiting) row(this, one.state === 'dead' ? 'dead' : 'proposed', `version ${one.policy.version}`, short(one.digest), signedText(one.signatures.flatMap(({ by, complaint }) => (by === null || complaint !== null ? [] : [by]))), one.state === 'dead' ? 'another version came into force' : `needs ${placesText(one.open)}`);
    }
    return {
      versions: policies.versions.map(({ policy, digest, logIndex }) => ({ version: policy.version, digest, logIndex })),
      proposals: waiting.map(({ digest, policy, logIndex, state, signatures, open }) => ({ digest, version: policy.version, logIndex, state, signatures: signatures.map(({ by, logIndex: at, complaint }) => ({ by, logIndex: at, complaint })), open })),
    };
  });
}

/** Finds what is wrong with a policy before it is signed. Where a server answers it is checked as the next version; else as it stands. */
export async function check(this: Context, flags: CommonFlags, file: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { before, environments } = await surroundings(system);
    const policy = await readFileAsPolicy(system, file, before);
    const problems = checkPolicy(policy, { now: Math.floor(system.clock.now().getTime() / 1000), ...(before !== undefined && { before }), ...(environments !== undefined && { environments }) });
    refuseErrors(file, problems);
    if (!flags.json) {
      tellProblems(this, problems);
      row(this, 'ok', 'policy', `version ${policy.version}`, policyDigest(policy), before === undefined ? 'no server answered: not compared with the version in force' : '');
    }
    return { digest: policyDigest(policy), version: policy.version, compared: before !== undefined, problems };
  });
}

/** Signs a file as the next version, and asks the others of the quorum for their signatures. */
export async function propose(this: Context, flags: CommonFlags, file: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const session = await openSession(system);
    const footing = await openFooting(system, session);
    const before = newest(footing);
    const policy = await readFileAsPolicy(system, file, before);
    const { environments } = await session.api.policies();
    const problems = checkPolicy(policy, { now: Math.floor(system.clock.now().getTime() / 1000), before, environments });
    refuseErrors(file, problems);
    requireSound(problems);
    const changes = changeLines(before.policy, policy);
    if (changes.length === 0) throw new CairnError('conflict', `${file} says what version ${before.policy.version}, which is in force, says already`, { fix: 'Edit it first' });
    if (!flags.json) {
      tellProblems(this, problems);
      for (const [label, ...columns] of changes) row(this, label, ...columns);
    }
    return signed(this, flags, session, policy, 'proposed');
  });
}

/** Signs exactly the proposal of this digest. What it changes is shown: it is what is signed. */
export async function sign(this: Context, flags: CommonFlags, reference: string): Promise<void> {
  await run(this, flags, async () => {
    const session = await openSession(this.system);
    const footing = await openFooting(this.system, session);
    const proposal = findProposal(await session.api.policies(), reference);
    // The digest binds what is shown and signed, whatever the server calls it.
    const digest = policyDigest(proposal.policy);
    if (digest !== proposal.digest) throw new CairnError('verification-failed', `the server shows another policy under the digest ${short(proposal.digest)}`, { fix: 'Do not sign; cairn audit', context: { reason: 'digest-mismatch' } });
    if (!flags.json) for (const [label, ...columns] of changeLines(newest(footing).policy, proposal.policy)) row(this, label, ...columns);
    return signed(this, flags, session, proposal.policy, 'signed');
  });
}

async function signed(context: Context, flags: CommonFlags, session: Session, policy: Policy, what: string): Promise<SignedAnswer & { by: string }> {
  const { system } = context;
  const signer = await ownSigner(system, session.home);
  const statement = { predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy };
  const envelope = signEnvelope(makeStatement(statement), signer);
  const answer = await persist(system, () => session.api.signPolicy({ envelope, key: spkiOf(signer.publicKey).toString('base64') }));
  const by = personName(system);
  if (!flags.json) {
    row(context, what, `version ${answer.version}`, answer.digest);
    row(context, '', signedText(answer.signers), `logged ${answer.logIndex}`);
    if (answer.state === 'in-force') row(context, 'in force', `version ${answer.version}`, 'from here on, for every decision');
    else row(context, 'needs', placesText(answer.open), `cairn policy sign ${short(answer.digest)}`);
  }
  return { ...answer, by };
}

function signedText(signers: readonly string[]): string {
  return signers.length === 0 ? 'signed by nobody who counts' : `signed by ${signers.join(', ')}`;
}

function findProposal({ proposals }: PoliciesAnswer, reference: string): PoliciesAnswer['proposals'][number] {
  const prefix = reference.replace(/^sha256:/, '');
  if (!/^[0-9a-f]{4,64}$/.test(prefix)) throw new CairnError('unknown-reference', `"${reference}" is no digest`, { fix: 'cairn policy list shows those that wait' });
  const [found, another] = proposals.filter(({ digest }) => digest.slice(7).startsWith(prefix));
  if (found === undefined) throw new CairnError('unknown-reference', `no proposal begins with ${prefix}`, { fix: 'cairn policy list' });
  if (another !== undefined) throw new CairnError('ambiguous-reference', `several proposals begin with ${prefix}`, { fix: 'Give more digits' });
  if (found.state === 'dead') throw new CairnError('conflict', `the proposal ${short(found.digest)} is dead: another version came into force`, { fix: 'Propose it anew: cairn policy propose FILE' });
  return found;
}

function newest({ policies }: Footing): PolicyVersion {
  const version = policies.versions.at(-1);
  if (version === undefined) throw new TypeError('a footing without a policy');
  return version;
}

/** The version in force and the server's environments, where a server answers. */
export async function surroundings(system: System): Promise<{ before?: PolicyVersion; environments?: readonly string[] }> {
  try {
    const session = await openSession(system);
    const before = newest(await openFooting(system, session));
    return { before, environments: (await session.api.policies()).environments };
  } catch (error) {
    if (error instanceof CairnError && (error.code === 'unreachable' || error.code === 'not-initialized')) return {};
    throw error;
  }
}

export async function readFileAsPolicy({ directory }: System, file: string, before: { policy: Policy; digest: Digest } | undefined): Promise<Policy> {
  const text = await readFile(resolvePath(directory, file), 'utf8').catch((cause: unknown) => {
    throw new CairnError('usage', `${file} cannot be read`, { cause, fix: 'cairn policy show --yaml > policy.yaml' });
  });
  return readPolicyFile(text, basename(file), before);
}

function tellProblems(context: Context, problems: readonly PolicyProblem[]): void {
  for (const { where, text, fix } of problems) row(context, 'see to', where, text, fix);
}

function refuseErrors(file: string, problems: readonly PolicyProblem[]): void {
  const errors = problems.filter(({ level }) => level === 'error');
  if (errors.length === 0) return;
  throw new CairnError('invalid-policy', `${file} has ${count(errors.length, 'error')}; it could not be proposed`, {
    ...(errors[0] !== undefined && { fix: errors[0].fix }), context: { findings: problems.map(({ level, where, text, fix }) => ({ what: `${level === 'warning' ? '(warning) ' : ''}${where}: ${text}`, fix })), problems },
  });
}
