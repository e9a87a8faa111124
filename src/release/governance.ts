import { parsePredicate, subjectDigests } from '#attest';
import { CairnError, shortDigest, type Digest } from '#core';
import { environmentOf, mayRevoke } from '#policy';
import { guardians, requireGuardian, requireSigner, statementOf } from './authority.ts';
import type { Engine } from './engine.ts';
import type { SignedStatement } from './ports.ts';

/** How far a break-glass got. */
export interface GlassBroken {
  readonly envelope: Digest;
  /** Who broke it for this release here and not yet in vain, by name. */
  readonly people: readonly string[];
  readonly threshold: number;
  /** Seconds since 1970. */
  readonly expires: number;
}

/** Several people's say on what went past a gate, or went wrong. Each is a statement that they sign; the server only takes it or not. */
export class Governance {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** @throws CairnError `unauthorized`, `refused` where the policy lets nobody, or where nobody else could settle it afterwards */
  async breakGlass(signed: SignedStatement): Promise<GlassBroken> {
    const { ledger } = this.#engine.options;
    const authority = await this.#engine.authority();
    const statement = statementOf(signed);
    const { application, environment, by, expires } = parsePredicate('breakGlass', statement);
    const release = onlySubject(statement);
    const { breakGlass } = environmentOf(authority.policy, environment);
    const person = requireSigner(signed, by, authority);
    if (breakGlass === undefined) throw new CairnError('refused', `the policy lets nobody break the glass of ${environment}`, { fix: `Meet its rules, or change the policy: breakGlass for ${environment}` });
    if (person.machine === true || !person.roles.includes(breakGlass.role)) {
      const others = authority.policy.people.filter(({ roles, machine }) => machine !== true && roles.includes(breakGlass.role)).map(({ name }) => name);
      throw new CairnError('unauthorized', `${by} may not break the glass of ${environment}`, { fix: `Ask someone with the role ${breakGlass.role}: ${others.join(', ')}` });
    }
    if (guardians(authority.policy).every((name) => name === by)) {
      throw new CairnError('refused', `nobody but ${by} could settle the debt that it leaves, and nobody settles their own`, { fix: `Give somebody else the role ${mayRevoke(authority.policy).join(' or ')}` });
    }
    const until = Date.parse(expires) / 1000;
    if (until <= authority.time) throw new CairnError('refused', `the break-glass of ${by} has expired before it is logged`, { fix: 'Set the clock of this machine, or give --hours', context: { rule: 'break-glass' } });
    if (until > authority.time + breakGlass.hours * 3600 + 60) throw new CairnError('refused', `${environment} lets the glass be broken for ${breakGlass.hours} hours at most`, { fix: `--hours ${breakGlass.hours}` });
    await this.#engine.document(application, release);
    const [logged] = await ledger.commit([signed]);
    if (logged === undefined) throw new CairnError('storage', 'the statement was not logged');
    const open = (await ledger.brokenGlass(application, release)).filter((one) => one.environment === environment && one.usedBy === null && one.expires > authority.time);
    return { envelope: logged.digest, people: [...new Set(open.map((one) => one.by))], threshold: breakGlass.threshold, expires: Math.min(...open.map((one) => one.expires)) };
  }

  /** By somebody who did not break it: an account that one gives oneself is none. */
  async settle(signed: SignedStatement): Promise<void> {
    const { ledger } = this.#engine.options;
    const authority = await this.#engine.authority();
    const statement = statementOf(signed);
    const { application, environment, breakGlass, by } = parsePredicate('settlement', statement);
    const person = requireSigner(signed, by, authority);
    const debt = (await ledger.debts()).find((one) => one.envelope === breakGlass);
    if (debt === undefined || debt.application !== application || debt.environment !== environment || debt.release !== onlySubject(statement)) {
      throw new CairnError('not-found', `no promotion into ${environment} left such a debt`, { fix: 'cairn status lists debts' });
    }
    if (debt.settledBy !== null) throw new CairnError('conflict', `${debt.settledBy} settled it already`, { fix: 'cairn status lists what is open' });
    if (debt.by.split(', ').includes(by)) {
      const others = guardians(authority.policy).filter((name) => !debt.by.split(', ').includes(name));
      throw new CairnError('unauthorized', `${by} broke the glass and cannot settle it`, { fix: `Ask ${others.join(' or ')}: cairn settle ${environment} --reason TEXT` });
    }
    requireGuardian(person, authority.policy, `settle the debt of ${environment}`);
    await ledger.commit([signed]);
  }

  /** Takes an incident on, or ends it. */
  async resolve(signed: SignedStatement): Promise<void> {
    const { ledger } = this.#engine.options;
    const authority = await this.#engine.authority();
    const statement = statementOf(signed);
    const { incident, action, by, owner, resolution } = parsePredicate('resolution', statement);
    const person = requireSigner(signed, by, authority);
    const found = (await ledger.incidents()).find(({ logIndex }) => logIndex === incident);
    if (found === undefined || found.release !== onlySubject(statement)) throw new CairnError('not-found', `there is no incident ${incident} of that release`, { fix: 'cairn incident list --all' });
    if (found.resolution !== null) throw new CairnError('conflict', `${found.resolvedBy} resolved incident ${incident}: ${found.resolution}`, { fix: 'cairn incident list' });
    requireGuardian(person, authority.policy, `look after incidents`);
    if (!authority.policy.people.some(({ name }) => name === owner)) throw new CairnError('refused', `the policy knows nobody called ${owner}`, { fix: `Name one of: ${authority.policy.people.map(({ name }) => name).join(', ')}` });
    if ((action === 'resolve') !== (resolution !== null && resolution.trim() !== '')) throw new CairnError('malformed-document', 'an incident that is resolved says how, and one that is taken on does not yet', { fix: `cairn incident resolve ${incident} --resolution TEXT` });
    await ledger.commit([signed]);
  }
}

function onlySubject(statement: ReturnType<typeof statementOf>): Digest {
  const [release] = subjectDigests(statement);
  if (release === undefined || statement.subject.length !== 1) throw new CairnError('malformed-document', `the statement is about ${statement.subject.length} things, not one release${release === undefined ? '' : ` (${shortDigest(release)})`}`);
  return release;
}
