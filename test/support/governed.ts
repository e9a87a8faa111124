import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';
import { makeStatement, predicateTypes, provenance, signEnvelope, subjectOf, type Statement } from '#attest';
import { CairnError, digestOf, fixedClock, noFaults, type Digest } from '#core';
import { openLedger, type OpenLedger } from '#ledger';
import { policyDigest, type Environment, type Policy } from '#policy';
import { delivery, type Delivery, type Moved, type Registry, type SignedStatement } from '#release';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { verifyBundle } from '#verify';
import type { ReleaseDocument } from '../../src/release/document.ts';
import { Engine, type DeliveryOptions } from '../../src/release/engine.ts';
import { Ways } from '../../src/release/ways.ts';
import { memoryGateway } from './memory-gateway.ts';

// A ledger, a policy of four people and the real engine over it, in this process, with a clock that a test moves: what several people
// decide about releases, without building or running any.

export const application = 'shop';
const signers: Readonly<Record<string, Signer>> = Object.fromEntries(['ada', 'bob', 'rex', 'sue'].map((name) => [name, generateSigner('ecdsa')]));
const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };
const record = generateSigner('ecdsa');
const admit = generateSigner('ecdsa');

export const keyOf = (name: string): string => spkiOf(signerOf(name).publicKey).toString('base64');

export function signerOf(name: string): Signer {
  const found = signers[name];
  if (found === undefined) throw new Error(`nobody is called ${name}`);
  return found;
}

export function signedBy(name: string, statement: Statement): SignedStatement {
  return { envelope: signEnvelope(makeStatement(statement), signerOf(name)), key: keyOf(name) };
}

/** ada builds and releases, bob develops and releases, rex releases, sue is security. */
export function governedPolicy(production: Partial<Environment> = {}): Policy {
  return {
    kind: 'policy', version: 1,
    people: [
      { name: 'ada', roles: ['builder', 'release'], keys: [keyOf('ada')] }, { name: 'bob', roles: ['developer', 'release'], keys: [keyOf('bob')] },
      { name: 'rex', roles: ['release'], keys: [keyOf('rex')] }, { name: 'sue', roles: ['security'], keys: [keyOf('sue')] },
    ],
    environments: [
      { name: 'staging', promote: 'release', rollback: 'release', rules: [{ kind: 'provenance', role: 'builder', blocksRollback: true }] },
      {
        name: 'production', promote: 'release', rollback: 'release',
        rules: [{ kind: 'provenance', role: 'builder', blocksRollback: true }, { kind: 'tests', role: 'builder', blocksRollback: false }],
        breakGlass: { role: 'release', threshold: 1, hours: 4 }, ...production,
      },
    ],
    quorum: [{ role: 'release', threshold: 2 }, { role: 'security', threshold: 1 }],
  };
}

export interface World {
  readonly ledger: OpenLedger;
  readonly clock: ReturnType<typeof fixedClock>;
  readonly moves: Delivery;
  readonly options: DeliveryOptions;
  /** An engine of its own over the same ledger. */
  readonly engine: () => { engine: Engine; ways: Ways };
  readonly document: (release: Digest) => Promise<ReleaseDocument>;
  /** Where the runner was last told that it may return to by itself, by environment. */
  readonly plans: ReadonlyMap<string, readonly Digest[]>;
  /** A release with provenance, and tests and a bill of materials where they are wanted. */
  release(name: string, evidence?: { tests?: boolean; packages?: readonly string[]; by?: string }): Promise<Digest>;
  say(by: string, statement: Statement): Promise<number>;
  promote(release: Digest, environment: string, by?: string): Promise<Moved>;
  rollback(environment: string): Promise<Moved>;
  revoke(by: string, what: { release: Digest } | { key: string; after?: number } | { purl: string }): ReturnType<Delivery['revoke']>;
  breakGlass(by: string, release: Digest, change?: { environment?: string; hours?: number; reason?: string }): ReturnType<Delivery['breakGlass']>;
  settle(by: string, envelope: Digest, release: Digest): Promise<void>;
  /** Changes the ledger's file behind its back. */
  edit(sql: string): void;
}

let nonces = 0;
export const nonce = (): string => `nonce ${String(++nonces).padStart(6, '0')}`;

export async function governed(t: Pick<TestContext, 'after'>, policy: Policy = governedPolicy()): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-g-'));
  const clock = fixedClock('2026-03-02T09:00:00Z');
  const path = join(folder, 'ledger.sqlite');
  const ledger = await openLedger({ path, keys, record, clock, faults: noFaults });
  t.after(async () => {
    await ledger.close();
    await rm(folder, { recursive: true });
  });
  const documents = new Map<Digest, ReleaseDocument>();
  const document = async (release: Digest): Promise<ReleaseDocument> => {
    const found = documents.get(release);
    if (found === undefined) throw new CairnError('not-found', `no release ${release}`);
    return found;
  };
  const registry: Registry = { document: (_, release) => document(release), rehash: async () => ({ blobs: 0, bytes: 0 }), unpack: async () => folder, attach: async () => {} };
  const log = { origin: keys.origin, log: keys.log.publicKey, time: keys.time.publicKey };
  const trust = digestOf(spkiOf(log.log));
  const plans = new Map<string, readonly Digest[]>();
  const { gateway } = memoryGateway();
  const options: DeliveryOptions = {
    ledger, registry, gateway: { ...gateway, plan: async ({ environment, ways }) => void plans.set(environment, ways.map(({ release }) => release)) }, secrets: { read: async () => '', latest: async () => ({}) }, signers: { record, admit: () => admit },
    verify: (bundle, key) => verifyBundle(bundle, { log, keys: [key] }), trust: () => trust, foreign: async () => () => { throw new CairnError('internal', 'nothing of others is here'); }, collect: async () => ({ remaining: 0 }), origin: keys.origin, version: '0', platform: 'linux/amd64', clock, faults: noFaults, report: () => {},
  };
  const moves = delivery(options);
  await ledger.commit([signedBy('ada', { predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(policy))], predicate: policy })]);

  const say = async (by: string, statement: Statement) => (await ledger.commit([signedBy(by, statement)]))[0]?.logIndex ?? -1;
  return {
    ledger, clock, moves, options, document, say, plans,
    engine: () => {
      const engine = new Engine(options);
      return { engine, ways: new Ways(engine) };
    },
    release: async (name, { tests = true, packages, by = 'ada' } = {}) => {
      const release = digestOf(`release ${name}`);
      const component = digestOf(`web ${name}`);
      const commit = digestOf(name).slice(7, 47);
      documents.set(release, {
        kind: 'release', application, source: { uri: null, commit }, created: '2026-01-01T00:00:00Z', toolchain: [], stages: digestOf('stages'), configuration: {}, schema: null,
        components: [{ name: 'web', kind: 'files', digest: component, platforms: [{ platform: 'linux/amd64', digest: component }] }],
      });
      const subject = [subjectOf(application, release), subjectOf('web', component)];
      await say(by, provenance({
        subject, application, source: { uri: `git+https://${keys.origin}/${application}`, commit }, stages: digestOf('stages'), environment: [], isolation: null, dependencies: [],
        builder: { id: `https://${keys.origin}/builders/${by}`, version: '0' }, invocation: name, startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:00:01Z',
      }));
      if (tests) await say(by, { predicateType: predicateTypes.tests, subject, predicate: { result: 'PASSED', configuration: [{ name }], 'https://cairn.internal/tests/v1': { passed: 41, failed: 0 } } });
      if (packages !== undefined) {
        const components = packages.map((purl) => ({ type: 'library', name: purl.split('/').at(-1)?.split('@')[0] ?? '', version: purl.split('@').at(-1) ?? '', purl }));
        await say(by, { predicateType: predicateTypes.sbom, subject: [subjectOf('web', component)], predicate: { bomFormat: 'CycloneDX', specVersion: '1.6', components } });
      }
      return release;
    },
    promote: async (release, environment, by = 'ada') => {
      const { head } = await ledger.timeline(application, environment);
      const predicate = { action: 'promote' as const, application, environment, by, nonce: nonce(), head, configuration: {}, secrets: {}, restores: null, reason: null };
      return moves.promote(signedBy(by, { predicateType: predicateTypes.request, subject: [subjectOf(application, release)], predicate }));
    },
    rollback: (environment) => moves.rollback({ operation: nonce(), application, environment, by: 'ada', reason: 'it answers 500' }),
    revoke: (by, what) => moves.revoke(signedBy(by, revocation(by, what))),
    breakGlass: (by, release, { environment = 'production', hours = 2, reason = 'customers cannot pay' } = {}) => {
      const expires = `${new Date(clock.now().getTime() + hours * 3_600_000).toISOString().slice(0, 19)}Z`;
      return moves.breakGlass(signedBy(by, { predicateType: predicateTypes.breakGlass, subject: [subjectOf(application, release)], predicate: { application, environment, by, nonce: nonce(), reason, expires } }));
    },
    settle: (by, envelope, release) => {
      const predicate = { application, environment: 'production', breakGlass: envelope, by, nonce: nonce(), reason: 'reviewed, tests were added' };
      return moves.settleDebt(signedBy(by, { predicateType: predicateTypes.settlement, subject: [subjectOf(application, release)], predicate }));
    },
    edit: (sql) => {
      const database = new DatabaseSync(path);
      database.exec(`PRAGMA busy_timeout=5000; ${sql}`);
      database.close();
    },
  };
}

export function revocation(by: string, what: { release: Digest } | { key: string; after?: number } | { purl: string }): Statement {
  const signed = { by, nonce: nonce(), reason: 'CVE-2026-1' };
  if ('release' in what) return { predicateType: predicateTypes.revocation, subject: [subjectOf(application, what.release)], predicate: { application, ...signed } };
  if ('key' in what) return { predicateType: predicateTypes.keyRevocation, subject: [subjectOf('key', digestOf(Buffer.from(what.key, 'base64')))], predicate: { key: what.key, after: what.after ?? null, ...signed } };
  return { predicateType: predicateTypes.packageRevocation, subject: [subjectOf('package', digestOf(what.purl))], predicate: { purl: what.purl, ...signed } };
}
