import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Approval } from '#attest';
import { spkiOf } from '#sign';
import type { Context } from './context.ts';
import { deliver, loggedAs } from './outbox.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, ownSigner, persist, personName, readDefinition, resolveRelease } from './session.ts';

const usualDays = 7;

/** Says, signed, that this person wants exactly this release in that environment. The whole digest is shown: it is what is signed. */
export async function approve(this: Context, flags: CommonFlags & { days?: number; reason?: string }, reference: string, environment: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const session = await openSession(system);
    const { api, home } = session;
    const { application } = await readDefinition(system);
    const release = await persist(system, () => resolveRelease(api, application, reference));
    const expires = `${new Date(system.clock.now().getTime() + (flags.days ?? usualDays) * 86_400_000).toISOString().slice(0, 19)}Z`;
    const by = personName(system);
    const predicate: Approval = { application, environment, by, expires, reason: flags.reason ?? null };
    const signer = await ownSigner(system, home);
    const envelope = signEnvelope(makeStatement({ predicateType: predicateTypes.approval, subject: [subjectOf(application, release)], predicate }), signer);
    const { digest, logIndex } = await deliver(system, session, application, { envelope, key: spkiOf(signer.publicKey).toString('base64') });
    if (!flags.json) {
      row(this, 'approved', `${application} ${release}`);
      row(this, environment, `by ${by} until ${expires}`, loggedAs(logIndex));
    }
    return { release, environment, by, expires, statement: digest, logIndex };
  });
}
