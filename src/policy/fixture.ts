import { digestOf } from '#core';
import type { Evidence, EvidenceStatement, Question, Says } from './evidence.ts';
import type { Policy, Rule } from './policy.ts';

// A small world for the tests of gates: five people, a release with one component, its evidence.

export const release = digestOf('release');
export const component = digestOf('web');
/** base64 that stands for the SPKI of a key. */
export const keyOf = (name: string): string => Buffer.from(name).toString('base64');

export const people: Policy['people'] = [
  { name: 'ada', roles: ['builder', 'release'], keys: [keyOf('ada')] },
  { name: 'dan', roles: ['developer'], keys: [keyOf('dan')] },
  { name: 'eve', roles: ['security', 'release'], keys: [keyOf('eve'), keyOf('eve2')] },
  { name: 'rex', roles: ['release'], keys: [keyOf('rex')] },
  { name: 'robot', roles: ['builder', 'release'], keys: [keyOf('robot')], machine: true },
];

export function policyOf(rules: readonly Rule[], change: Partial<Policy> = {}): Policy {
  return {
    kind: 'policy', version: 1, people, environments: [{ name: 'production', promote: 'release', rollback: 'release', rules: [...rules] }], quorum: [{ role: 'release', threshold: 1 }], ...change,
  };
}

export const now = Date.parse('2026-03-04T10:30:00Z') / 1000;

export const evidence: Evidence = {
  release, application: 'shop', commit: 'c0ffee1', source: null, changes: null, components: [component], statements: [], confirmedIn: [], quarantined: false, revoked: null, revokedKeys: [],
  revokedPackages: [], breakGlass: null, debts: [], witnessed: null, sources: [], since: now - 7200, schema: null,
};

export const question: Question = { environment: 'production', direction: 'promote', by: 'ada', time: now };

/** A statement about the release and its component, by the first key of the person. */
export function statement(by: string, says: Says, change: Partial<EvidenceStatement> = {}): EvidenceStatement {
  const logIndex = change.logIndex ?? 1;
  return { envelope: digestOf(`${by} ${JSON.stringify(says)} ${logIndex}`), predicateType: `test/${says.kind}`, subjects: [release, component], signer: { kind: 'key', key: keyOf(by) }, logIndex, time: now - 3600, says, ...change };
}

export const built = (by: string, change: Partial<Extract<Says, { kind: 'provenance' }>> = {}): Says => ({ kind: 'provenance', commit: 'c0ffee1', source: 'git+https://x', builder: `https://x/builders/${by}`, changes: null, ...change });
export const approves = (by: string, change: Partial<Extract<Says, { kind: 'approval' }>> = {}): Says => ({ kind: 'approval', application: 'shop', environment: 'production', by, expires: now + 60, ...change });
