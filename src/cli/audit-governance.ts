import { parsePredicate, predicateTypes } from '#attest';
import { verificationFailed, type Digest } from '#core';
import { mayRevoke, personOf, type Person, type Policy } from '#policy';
import type { RevokedKey } from '#release';
import type { AuditedStatement } from './audit-log.ts';

/** What several people said about releases, keys and broken glass, read in the order of the log: who might say it at that place. */
export class Governing {
  readonly #revoked: RevokedKey[] = [];
  /** Who broke the glass, by envelope. */
  readonly #broken = new Map<Digest, string>();

  /** So far. */
  get revokedKeys(): readonly RevokedKey[] {
    return this.#revoked;
  }

  /** @throws CairnError `verification-failed`: the key had been revoked, or its holder may not say such a thing */
  require(entry: AuditedStatement, policy: Policy | undefined): void {
    if (policy === undefined) return;
    const person = personOf(policy, entry.key);
    this.#requireUnrevoked(entry, person);
    const { statement } = entry;
    switch (statement.predicateType) {
      case predicateTypes.revocation:
        return requireGuardian(person, parsePredicate('revocation', statement).by, policy, 'revoke');
      case predicateTypes.packageRevocation:
        return requireGuardian(person, parsePredicate('packageRevocation', statement).by, policy, 'revoke');
      case predicateTypes.keyRevocation: {
        const { key, after, by, reason } = parsePredicate('keyRevocation', statement);
        // Everybody takes back their own keys.
        if (person?.name !== by || !person.keys.includes(key)) requireGuardian(person, by, policy, 'revoke');
        this.#revoked.push({ key, after, by, reason });
        return;
      }
      case predicateTypes.breakGlass: {
        const { by, environment } = parsePredicate('breakGlass', statement);
        const role = policy.environments.find(({ name }) => name === environment)?.breakGlass?.role;
        requireThat(person?.name === by && person.machine !== true && role !== undefined && person.roles.includes(role), `${by} may not break the glass of ${environment}`);
        this.#broken.set(entry.envelope, by);
        return;
      }
      case predicateTypes.settlement: {
        const { by, breakGlass } = parsePredicate('settlement', statement);
        requireThat(this.#broken.get(breakGlass) !== by, `${by} broke the glass and settled it too`);
        return requireGuardian(person, by, policy, 'settle');
      }
      case predicateTypes.resolution:
        return requireGuardian(person, parsePredicate('resolution', statement).by, policy, 'look after incidents');
      default:
    }
  }

  /** A key that was revoked writes nothing more, wherever its revocation says that it stopped to count. */
  #requireUnrevoked({ key }: AuditedStatement, person: Person | undefined): void {
    const revoked = this.#revoked.find((one) => one.key === key);
    if (person !== undefined && revoked !== undefined) throw verificationFailed('key-revoked', `it is signed by a key of ${person.name}, behind the entry by which ${revoked.by} revoked it`);
  }
}

function requireGuardian(person: Person | undefined, by: string, policy: Policy, what: string): void {
  requireThat(person?.name === by, `it says it is by ${by}, its key is ${person === undefined ? 'unknown to the policy' : `of ${person.name}`}`);
  requireThat(person?.machine !== true && mayRevoke(policy).some((role) => person?.roles.includes(role) === true), `${by} may not ${what}`);
}

function requireThat(holds: boolean, why: string): void {
  if (!holds) throw verificationFailed('signer-not-allowed', why);
}
