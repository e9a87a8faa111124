import { policyDigest, type Policy } from '#policy';
import { spkiOf } from '#sign';
import type { Trust } from '#verify';
import type { Settings } from './home.ts';
import type { ServerKeys } from './server-keys.ts';

/** The first policy: one person with every role, each environment after the one before it. */
export function genesisPolicy(person: { name: string; key: string }, environments: readonly string[]): Policy {
  return {
    kind: 'policy',
    version: 1,
    people: [{ name: person.name, roles: ['builder', 'developer', 'security', 'release'], keys: [person.key] }],
    environments: environments.map((name, at) => {
      const before = environments[at - 1];
      return {
        name,
        promote: 'release' as const,
        rollback: 'release' as const,
        rules: [
          { kind: 'provenance' as const, role: 'builder' as const, blocksRollback: true },
          ...(before === undefined ? [] : [{ kind: 'confirmed-in' as const, environment: before, blocksRollback: false }]),
        ],
      };
    }),
    quorum: [{ role: 'release', threshold: 1 }],
  };
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
