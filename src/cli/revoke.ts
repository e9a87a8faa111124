import { makeStatement, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { spkiOf } from '#sign';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, ownSigner, persist, personName, readDefinition, resolveRelease } from './session.ts';

/** For ever: the release is let in nowhere any more, and no rollback goes to it. What runs is not touched, but named. */
export async function revoke(this: Context, flags: CommonFlags & { reason: string }, reference: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const { api, home } = await openSession(system);
    const { application } = await readDefinition(system);
    const release = await persist(system, () => resolveRelease(api, application, reference));
    const signer = await ownSigner(system, home);
    const predicate = { application, by: personName(system), nonce: system.random(16), reason: flags.reason };
    const envelope = signEnvelope(makeStatement({ predicateType: predicateTypes.revocation, subject: [subjectOf(application, release)], predicate }), signer);
    const running = await persist(system, () => api.revoke({ envelope, key: spkiOf(signer.publicKey).toString('base64') }));
    if (!flags.json) {
      row(this, 'revoked', `${application} ${release}`);
      for (const { environment, revision } of running) row(this, 'runs', `${environment} revision ${revision}`, `cairn rollback ${environment} --reason "revoked"`);
    }
    return { release, running };
  });
}
