import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { envelopeDigest, makeStatement, predicateTypes, provenance, signEnvelope, subjectOf, verificationSummary, type Request, type Statement } from '#attest';
import { digestOf, fixedClock, noFaults, type Digest } from '#core';
import { openLedger, openReader } from '#ledger';
import { decide, policyDigest, type Evidence, type Policy } from '#policy';
import { contentHash, weighable, type Logged, type SignedStatement } from '#release';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { trustBody } from '#verify';
import { readPast } from '../../src/cli/policy-decisions.ts';
import { replayAll } from '../../src/cli/policy-replay.ts';
import type { Report } from './bench.ts';

// Ten thousand decisions of a log of its own, each with nine statements, decided again: by the policy that they were decided by, and by one
// with another gate. Reading the ledger, verifying each signature once and deciding are all in the time.

const targetMs = 30_000;
const perRelease = 10;
const application = 'shop';
const environment = 'production';
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');

export async function replay(count: number, say: (line: string) => void): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-bench-replay-'));
  try {
    const world = makeWorld();
    const path = join(folder, 'ledger.sqlite');
    say(`making ${count} decisions`);
    await fill(path, world, count);
    const began = performance.now();
    const reader = await openReader(path);
    const past = await readPast(reader, world.log, { genesis: world.trust, trust: world.trust, roots: [] }, 0);
    await reader.close();
    const read = performance.now();
    const same = replayAll(past, world.policy);
    const decided = performance.now();
    const stricter = replayAll(past, world.stricter);
    const ended = performance.now();
    const total = ended - decided + read - began;
    const rows = [
      ['read and verified', `${past.decisions.length}`, `${Math.round(read - began)}`, ''],
      ['again by its own policy', `${same.decisions}`, `${Math.round(decided - read)}`, `${same.changed.length} changed, ${same.lost.length} lost`],
      ['by another policy', `${stricter.decisions}`, `${Math.round(ended - decided)}`, `${stricter.changed.length} changed, ${stricter.lost.length} lost`],
      ['cairn policy replay', `${stricter.decisions}`, `${Math.round(total)}`, `${Math.round(stricter.decisions / (total / 1000))} a second`],
    ];
    const missed = [
      ...(total > (targetMs * count) / 10_000 ? [`${count} decisions took ${Math.round(total)} ms, more than ${(targetMs * count) / 10_000}`] : []),
      ...(same.changed.length + same.lost.length + past.lost.length > 0 ? ['the same policy decides otherwise'] : []),
      ...(stricter.changed.length === 0 ? ['the other policy changes nothing'] : []),
    ];
    const figures = [{ what: `Replay of ${count} past decisions`, target: `< ${(targetMs * count) / 10_000_000} s`, figure: `${(total / 1000).toFixed(1)} s`, met: missed.length === 0 }];
    return { figures, title: `replay of ${count} past decisions, nine statements each, two of seven rules in CEL`, tables: [{ columns: ['', 'decisions', 'ms', ''], rows }], missed };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type World = ReturnType<typeof makeWorld>;

function makeWorld() {
  const [record, admit, log, time] = [generateSigner('ecdsa'), generateSigner('ecdsa'), generateSigner('ed25519'), generateSigner('ed25519')];
  const people = { ada: generateSigner('ecdsa'), sue: generateSigner('ecdsa'), rex: generateSigner('ecdsa') };
  const roles = { ada: ['builder', 'developer'], sue: ['security'], rex: ['release'] } as const;
  const policy: Policy = {
    kind: 'policy', version: 1, people: Object.entries(people).map(([name, signer]) => ({ name, roles: [...roles[name as keyof typeof roles]], keys: [spki(signer)] })),
    environments: [{
      name: environment, promote: 'release', rollback: 'release',
      rules: [
        { kind: 'provenance', role: 'builder', blocksRollback: true }, { kind: 'sbom', blocksRollback: false }, { kind: 'tests', role: 'builder', blocksRollback: false }, { kind: 'clean', blocksRollback: false },
        { kind: 'approvals', role: 'security', threshold: 1, blocksRollback: false }, { kind: 'cel', name: 'no-copyleft', expression: "packages.all(p, !('GPL-3.0' in p.licenses))", blocksRollback: false },
        { kind: 'cel', name: 'vulnerabilities', expression: 'scans.size() > 0 && vulnerabilities.all(v, v.rank < 4)', blocksRollback: false },
      ],
    }],
    quorum: [{ role: 'release', threshold: 1 }],
  };
  const [production] = policy.environments;
  const rules = production?.rules.map((rule) => (rule.kind === 'cel' && rule.name === 'vulnerabilities' ? { ...rule, expression: 'scans.size() > 0 && vulnerabilities.all(v, v.rank < 3)' } : rule)) ?? [];
  const stricter: Policy = { ...policy, version: 2, previous: policyDigest(policy), environments: [{ name: environment, promote: 'release', rollback: 'release', rules }] };
  const origin = 'log-000000000000.cairn.internal';
  const trust = trustBody({
    kind: 'trust', version: 1, origin, since: '2026-01-01T00:00:00Z', keys: { log: spki(log), time: spki(time), record: spki(record), admit: { [environment]: spki(admit) } }, policy: policyDigest(policy),
    rotation: { threshold: 1, keys: [spki(people.ada)] }, recovery: null,
  });
  return { record, admit, people, policy, stricter, origin, trust, keys: { origin, log, time }, log: { origin, log: log.publicKey, time: time.publicKey } };
}

const signed = (statement: Statement, signer: Signer): SignedStatement => ({ envelope: signEnvelope(makeStatement(statement), signer), key: spki(signer) });

async function fill(path: string, world: World, count: number): Promise<void> {
  const clock = fixedClock('2026-01-01T00:00:00Z');
  const ledger = await openLedger({ path, keys: world.keys, record: world.record, admit: [spki(world.admit)], clock, faults: noFaults });
  await ledger.commit([signed({ predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(world.policy))], predicate: world.policy }, world.people.rex)]);
  for (let made = 0; made < count; made += perRelease) {
    clock.advance(60_000);
    const release = digestOf(`release ${made}`);
    const component = digestOf(`component ${made}`);
    const logged = await ledger.commit(evidenceFor(world, release, component, made, clock.now().getTime()));
    clock.advance(1000);
    const decisions = Array.from({ length: Math.min(perRelease, count - made) }, (_, at) => decisionFor(world, { release, component, logged, at, made, time: Math.floor(clock.now().getTime() / 1000) }));
    await ledger.commit(decisions.flat());
  }
  await ledger.close();
}

const packages = Array.from({ length: 60 }, (_, at) => ({ type: 'library', name: `package-${at}`, version: '1.0.0', purl: `pkg:npm/package-${at}@1.0.0`, licenses: [{ license: { id: 'MIT' } }] }));

function evidenceFor({ people, origin }: World, release: Digest, component: Digest, made: number, now: number): SignedStatement[] {
  const both = [subjectOf(application, release), subjectOf('web', component)];
  const scan = (at: number, severity: string) => ({
    scanner: { uri: `https://scanner-${at}.example`, result: [{ id: `CVE-2026-${made}`, severity: [{ method: 'nvd', score: severity }] }] }, metadata: { scanStartedOn: '2026-01-01T00:00:00Z', scanFinishedOn: '2026-01-01T00:00:00Z' },
  });
  const approval = (by: keyof typeof people) => ({ application, environment, by, expires: new Date(now + 604_800_000).toISOString(), reason: null });
  return [
    signed(provenance({
      subject: both, application, source: { uri: 'git+https://example.com/shop', commit: digestOf(`commit ${made}`).slice(7, 47) }, stages: digestOf('stages'), environment: [], isolation: null, dependencies: [],
      builder: { id: `https://${origin}/builders/ada`, version: 'bench' }, invocation: `build ${made}`, startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:00:00Z',
    }), people.ada),
    signed({ predicateType: predicateTypes.sbom, subject: [subjectOf('web', component)], predicate: { bomFormat: 'CycloneDX', specVersion: '1.6', components: packages } }, people.ada),
    signed({ predicateType: predicateTypes.tests, subject: both, predicate: { result: 'PASSED', configuration: [], 'https://cairn.internal/tests/v1': { passed: 41, failed: 0 } } }, people.ada),
    ...[0, 1, 2].map((at) => signed({ predicateType: predicateTypes.scan, subject: both, predicate: scan(at, (made / perRelease) % 7 === 0 ? 'high' : 'low') }, people.sue)),
    signed({ predicateType: predicateTypes.findings, subject: both, predicate: { tool: 'semgrep', version: null, report: digestOf(`report ${made}`), findings: [] } }, people.sue),
    ...(['sue', 'rex'] as const).map((by) => signed({ predicateType: predicateTypes.approval, subject: [subjectOf(application, release)], predicate: approval(by) }, people[by])),
  ];
}

interface Decided {
  readonly release: Digest;
  readonly component: Digest;
  readonly logged: readonly Logged[];
  readonly at: number;
  readonly made: number;
  readonly time: number;
}

function decisionFor({ policy, people, record, admit, origin }: World, { release, component, logged, at, made, time }: Decided): SignedStatement[] {
  const statements = logged.flatMap((one) => weighable(one, one.time));
  const built = statements.find(({ says }) => says.kind === 'provenance')?.says;
  const facts = {
    release, application, commit: built?.kind === 'provenance' ? built.commit : '', source: null, changes: null, components: [component], since: time - 1, confirmedIn: [], quarantined: false, revoked: null, revokedKeys: [],
    revokedPackages: [], breakGlass: null, debts: [], witnessed: null, sources: [], schema: null,
  };
  const evidence: Evidence = { ...facts, statements };
  const decision = decide(policy, evidence, { environment, direction: 'promote', by: 'rex', time });
  const predicate: Request = { action: 'promote', application, environment, by: 'rex', nonce: `promotion ${made} ${at}`, head: null, configuration: {}, secrets: {}, restores: null, reason: null };
  const request = signed({ predicateType: predicateTypes.request, subject: [subjectOf(application, release)], predicate }, people.rex);
  const verdict = verificationSummary({
    origin, application, environment, operation: envelopeDigest(request.envelope), revision: made + at + 1, direction: 'promote', release, content: contentHash({ release, configuration: {}, secrets: {} }),
    subject: [subjectOf(application, release), subjectOf('web', component)], policy: policyDigest(policy), evidence: decision.evidence, passed: decision.passed, rules: decision.rules, version: 'bench',
    time: `${new Date(time * 1000).toISOString().slice(0, 19)}Z`, basis: { by: 'rex', facts, weighed: statements.map(({ envelope }) => envelope), validUntil: null },
  });
  return [request, signed(verdict, decision.passed ? admit : record)];
}
