import type { Context, Hono } from 'hono';
import { parseStatement, payloadOf, predicateTypes } from '#attest';
import { CairnError, type Clock, type Digest } from '#core';
import type { OpenLedger, Proposal } from '#ledger';
import { checkPolicy, isNext, isOfQuorum, judgeSigner, personOf, readPolicyStatement, requireSound, staleProposal, type OpenPlace } from '#policy';
import type { SignedStatement } from '#release';
import type { AboutAnswer } from './reads.ts';

/** What a client needs to follow the policy by itself, from the digest that it trusts: bundles, nothing to believe. */
export interface PoliciesAnswer {
  /** Every policy statement, and every revocation of a key, in log order. */
  readonly statements: readonly AboutAnswer[];
  readonly proposals: readonly Proposal[];
  /** Of environments that this server runs. */
  readonly environments: readonly string[];
}

export interface SignedAnswer {
  readonly digest: Digest;
  readonly version: number;
  readonly logIndex: number;
  readonly state: Proposal['state'];
  readonly signers: readonly string[];
  readonly open: readonly OpenPlace[];
}

export interface PolicyRoutes {
  readonly ledger: OpenLedger;
  readonly environments: readonly string[];
  readonly clock: Clock;
  readonly readSigned: (context: Context) => Promise<SignedStatement>;
}

/**
 * Versions of the policy: read, proposed, signed. What is written here is only what people signed; that a version is in force follows from
 * the log, whoever reads it. The server refuses early what would count for nothing.
 */
export function policyRoutes(app: Hono, { ledger, environments, clock, readSigned }: PolicyRoutes): void {
  app.get('/api/v1/policies', async (context) => {
    const logged = [...(await ledger.ofType(predicateTypes.policy)), ...(await ledger.ofType(predicateTypes.keyRevocation))].toSorted((a, b) => a.logIndex - b.logIndex);
    const statements = logged.map(({ digest, logIndex, time, key, bundle, statement }): AboutAnswer => ({ digest, logIndex, time, key, bundle, predicateType: statement.predicateType }));
    return context.json({ statements, proposals: await ledger.proposals(), environments } satisfies PoliciesAnswer);
  });
  app.post('/api/v1/policies', async (context) => {
    const signed = await readSigned(context);
    const { policy, digest } = readPolicyStatement(parseStatement(payloadOf(signed.envelope)));
    const before = (await ledger.policies()).at(-1);
    if (before === undefined) throw new CairnError('not-initialized', 'the ledger holds no policy', { fix: 'cairn init' });
    const known = (await ledger.proposals()).find((one) => one.digest === digest);
    const again = known?.signatures.some(({ key }) => key === signed.key) === true;
    if (!again) {
      if (!isNext(before, policy)) throw staleProposal(policy, before);
      await requireSigner(signed, known !== undefined);
      const now = Math.floor(clock.now().getTime() / 1000);
      if (known === undefined) requireSound(checkPolicy(policy, { environments, before, now }));
      await ledger.commit([signed], { policy: before.digest });
    }
    const found = (await ledger.proposals()).find((one) => one.digest === digest);
    if (found === undefined) throw new CairnError('storage', 'the signature was not counted', { fix: 'cairn ledger rebuild' });
    const { state, signatures, open } = found;
    const own = signatures.findLast(({ key }) => key === signed.key);
    const signers = [...new Set(signatures.flatMap(({ by, complaint }) => (by === null || complaint !== null ? [] : [by])))];
    return context.json({ digest, version: policy.version, logIndex: own?.logIndex ?? found.logIndex, state, signers, open } satisfies SignedAnswer, 201);
  });

  /** Anybody of the policy may propose; beyond that only those sign whose signature can fill a place. */
  async function requireSigner({ key }: SignedStatement, proposed: boolean): Promise<void> {
    const policy = await ledger.policy();
    const person = personOf(policy, key);
    if (person === undefined) throw new CairnError('unauthorized', 'the policy is signed by a key that the version in force does not know', { fix: 'Sign with a key of the policy in force' });
    if (person.machine === true) throw new CairnError('unauthorized', `${person.name} is a machine, and machines do not govern`, { fix: 'Let a person sign' });
    const { size, time } = await ledger.newest();
    const { keys: revokedKeys } = await ledger.revocations();
    const { complaint } = judgeSigner(policy, { revokedKeys }, { signer: { kind: 'key', key }, logIndex: size, time: Math.max(time, Math.floor(clock.now().getTime() / 1000)) });
    if (complaint !== undefined) throw new CairnError('unauthorized', `the signature would not count: it ${complaint}`, { fix: 'Sign with another key of yours that is valid' });
    if (proposed && !isOfQuorum(policy, person)) throw new CairnError('unauthorized', `${person.name} has no role that the quorum asks for`, { fix: `Roles of the quorum: ${policy.quorum.map(({ role }) => role).join(', ')}` });
  }
}
