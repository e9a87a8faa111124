import { predicateTypes, subjectOf } from '#attest';
import { canonicalJson, CairnError } from '#core';
import { environmentOf, parsePolicy } from '#policy';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { signedBy } from './revoke.ts';
import { openSession, ownSigner, persist, personName, readDefinition, resolveRelease } from './session.ts';

/** Says, signed, that this release must get into that environment though its gate refuses it. It lasts for hours, for one promotion, and is a debt. */
export async function breakGlass(this: Context, flags: CommonFlags & { reason: string; hours?: number }, reference: string, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { api, home } = await openSession(system);
    const { application } = await readDefinition(system);
    const release = await persist(system, () => resolveRelease(api, application, reference));
    const allowed = environmentOf(parsePolicy(canonicalJson(await api.policy())), environment).breakGlass;
    const hours = flags.hours ?? allowed?.hours ?? 1;
    const expires = `${new Date(system.clock.now().getTime() + hours * 3_600_000).toISOString().slice(0, 19)}Z`;
    const by = personName(system);
    const signed = signedBy(await ownSigner(system, home), {
      predicateType: predicateTypes.breakGlass, subject: [subjectOf(application, release)], predicate: { application, environment, by, nonce: system.random(16), reason: flags.reason, expires },
    });
    const broken = await persist(system, () => api.breakGlass(signed));
    if (!flags.json) {
      row(this, 'broken', `the glass of ${environment} for ${application} ${release}`);
      row(this, environment, `${broken.people.length} of ${broken.threshold} people (${broken.people.join(', ')})`, `until ${expires}`);
      const missing = broken.threshold - broken.people.length;
      row(this, 'next', missing > 0 ? `${missing} more: cairn break-glass ${release.slice(7, 19)} ${environment} --reason TEXT` : `cairn promote ${release.slice(7, 19)} ${environment}`);
      row(this, 'debt', 'after it', `nothing more is promoted into ${environment} until somebody else settles it: cairn settle ${environment} --reason TEXT`);
    }
    return { release, environment, by, expires, statement: broken.envelope, people: broken.people, threshold: broken.threshold };
  });
}

/** Accounts for a promotion past the gate, by somebody who did not break it. */
export async function settle(this: Context, flags: CommonFlags & { reason: string; debt?: string }, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { api, home } = await openSession(system);
    const { application } = await readDefinition(system);
    const open = (await persist(system, () => api.debts())).filter((one) => one.application === application && one.environment === environment && one.settledBy === null);
    const wanted = flags.debt === undefined ? open : open.filter(({ envelope }) => envelope.slice(7).startsWith(flags.debt ?? ''));
    const [debt, another] = wanted;
    if (debt === undefined) throw new CairnError('not-found', `nothing of ${application} in ${environment} is to be settled`, { fix: 'cairn status lists debts' });
    if (another !== undefined) throw new CairnError('ambiguous-reference', `${application} has ${wanted.length} debts in ${environment}`, { fix: wanted.map(({ envelope }) => `cairn settle ${environment} --debt ${envelope.slice(7, 19)} --reason TEXT`).join('; ') });
    const by = personName(system);
    const signed = signedBy(await ownSigner(system, home), {
      predicateType: predicateTypes.settlement, subject: [subjectOf(application, debt.release)], predicate: { application, environment, breakGlass: debt.envelope, by, nonce: system.random(16), reason: flags.reason },
    });
    await persist(system, () => api.settleDebt(signed));
    if (!flags.json) row(this, 'settled', `${debt.by} broke the glass of ${environment} for ${application} ${debt.release.slice(7, 19)}: ${debt.reason}`, `past ${debt.rules.join(', ')}`);
    return { application, environment, release: debt.release, breakGlass: debt.envelope, by, rules: debt.rules };
  });
}
