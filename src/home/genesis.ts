import { policyDigest, type Person, type Policy, type Rule } from '#policy';
import { spkiOf } from '#sign';
import type { Trust } from '#verify';
import type { Settings } from './home.ts';
import type { ServerKeys } from './server-keys.ts';

export interface FirstPolicy {
  /** Whoever made the home comes first. */
  readonly people: readonly Person[];
  readonly environments: readonly string[];
  /** Whether the last environment asks for tests that passed: not where an application has none. */
  readonly tests: boolean;
  /** How long a release must have been confirmed in the environment before; 0: no rule. */
  readonly soakMinutes: number;
}

export const allRoles = ['builder', 'developer', 'security', 'release'] as const;

/** The first policy: each environment after the one before it. The last one also asks that it is a commit, with tests and approvals. */
export function genesisPolicy({ people, environments, tests, soakMinutes }: FirstPolicy): Policy {
  const threshold = thresholdOf(people);
  return {
    kind: 'policy',
    version: 1,
    people: people.map((one) => ({ ...one, roles: [...one.roles], keys: [...one.keys] })),
    environments: environments.map((name, at) => {
      const before = environments[at - 1];
      const rules: Rule[] = [
        { kind: 'provenance', role: 'builder', blocksRollback: true },
        { kind: 'sbom', blocksRollback: false },
      ];
      if (at === environments.length - 1) {
        if (tests) rules.push({ kind: 'tests', role: 'builder', blocksRollback: false });
        rules.push({ kind: 'clean', blocksRollback: false });
      }
      if (before !== undefined) rules.push({ kind: 'confirmed-in', environment: before, blocksRollback: false });
      if (before !== undefined && soakMinutes > 0) rules.push({ kind: 'soak', environment: before, minutes: soakMinutes, blocksRollback: false });
      if (at === environments.length - 1) rules.push({ kind: 'approvals', role: 'release', threshold, blocksRollback: false });
      return { name, promote: 'release' as const, rollback: 'release' as const, rules };
    }),
    quorum: [{ role: 'release', threshold }],
  };
}

/** Two people where there are two who release: one alone could not be outvoted, and more would wait for holidays. */
export function thresholdOf(people: readonly Person[]): number {
  return people.filter(({ roles }) => roles.includes('release')).length >= 2 ? 2 : 1;
}

/** Version 1 of trust: what clients take on first use from the repository. */
export function genesisTrust(settings: Settings, keys: ServerKeys, policy: Policy, rotation: { key: string; recovery: string }): Trust {
  const spki = (signer: { publicKey: Parameters<typeof spkiOf>[0] }) => spkiOf(signer.publicKey).toString('base64');
  return {
    kind: 'trust',
    version: 1,
    origin: settings.origin,
    since: settings.since,
    keys: {
      log: spki(keys.log),
      time: spki(keys.time),
      record: spki(keys.record),
      admit: Object.fromEntries(settings.environments.map(({ name }) => [name, spki(keys.admit(name))])),
    },
    policy: policyDigest(policy),
    rotation: { threshold: 1, keys: [rotation.key] },
    recovery: rotation.recovery,
  };
}
