import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { predicateTypes, subjectOf } from '#attest';
import { digestOf, type Digest } from '#core';
import type { Policy } from '#policy';
import { Decisions, type Asking } from '../src/release/decisions.ts';
import { revoke } from '../src/release/revocations.ts';
import { application, governed, governedPolicy, keyOf, nonce, revocation, signedBy, type World } from './support/governed.ts';

const policy: Policy = governedPolicy({
  rules: [
    { kind: 'provenance', role: 'builder', blocksRollback: true }, { kind: 'tests', role: 'builder', blocksRollback: false }, { kind: 'soak', environment: 'staging', minutes: 10, blocksRollback: false },
    { kind: 'approvals', role: 'security', threshold: 1, blocksRollback: false },
  ],
  freezes: [{ name: 'monday', start: '2026-01-05T10:00', minutes: 30, rule: 'FREQ=DAILY', zone: 'Europe/Berlin' }],
});

async function asking(world: World, release: Digest, change: Partial<Asking> = {}): Promise<Asking> {
  const environment = change.environment ?? 'production';
  return {
    release, content: digestOf('content'), environment, direction: 'promote', by: 'ada', schema: null,
    timeline: await world.ledger.timeline(application, environment), document: await world.document(release), ...change,
  };
}

const approve = (world: World, by: string, release: Digest, minutes: number) =>
  world.say(by, {
    predicateType: predicateTypes.approval, subject: [subjectOf(application, release)],
    predicate: { application, environment: 'production', by, expires: new Date(world.clock.now().getTime() + minutes * 60_000).toISOString(), reason: nonce() },
  });

test('a decision from the cache is the one that would be made anew, over any history', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('wait' as const), seconds: fc.constantFrom(1, 59, 60, 600, 1800, 3600) }),
    fc.record({ kind: fc.constantFrom('approve' as const, 'glass' as const, 'promote' as const, 'rollback' as const), at: fc.nat(1), minutes: fc.constantFrom(1, 10, 60) }),
    fc.record({ kind: fc.constantFrom('revoke' as const, 'revoke key' as const, 'revoke package' as const), at: fc.nat(1), who: fc.constantFrom('bob', 'rex') }),
    fc.record({ kind: fc.constant('ask' as const), times: fc.constantFrom(1, 2) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      const closing: (() => unknown)[] = [];
      const world = await governed({ after: (done) => void closing.push(done as () => unknown) }, policy);
      try {
        const releases = [await world.release('one', { packages: ['pkg:npm/left-pad@1.3.0'] }), await world.release('two')];
        const cached = new Decisions(world.options);
        for (const one of steps) {
          const release = releases['at' in one ? one.at : 0] ?? releases[0]!;
          if (one.kind === 'wait') world.clock.advance(one.seconds * 1000);
          if (one.kind === 'approve') await approve(world, 'sue', release, one.minutes);
          if (one.kind === 'glass') await world.breakGlass('bob', release, { hours: one.minutes / 60 }).catch(() => {});
          if (one.kind === 'promote') for (const environment of ['staging', 'production']) await world.promote(release, environment).catch(() => {});
          if (one.kind === 'rollback') await world.rollback('production').catch(() => {});
          if (one.kind === 'revoke') await world.ledger.commit([signedBy('sue', revocation('sue', { release }))]);
          if (one.kind === 'revoke key') await world.ledger.commit([signedBy('sue', revocation('sue', { key: keyOf(one.who) }))]);
          if (one.kind === 'revoke package') await world.ledger.commit([signedBy('sue', revocation('sue', { purl: 'pkg:npm/left-pad' }))]);
          for (const release of releases) {
            for (const direction of ['promote', 'rollback'] as const) {
              const question = await asking(world, release, { direction });
              const { decision, evidence } = await cached.decide(question);
              const anew = await new Decisions(world.options).decide(question, { fresh: true });
              assert.equal(anew.cached, false);
              assert.deepEqual(decision, anew.decision);
              assert.deepEqual(evidence, anew.evidence);
            }
          }
        }
      } finally {
        for (const close of closing) await close();
      }
    }),
    { numRuns: 6, seed: 7 },
  );
});

test('the second time the same is asked it comes from the cache, refusals too, and a grown log asks anew', async (t) => {
  const world = await governed(t);
  const [good, bad] = [await world.release('one'), await world.release('two', { tests: false })];
  const decisions = new Decisions(world.options);
  for (const release of [good, bad]) {
    const question = await asking(world, release);
    const first = await decisions.decide(question);
    const second = await decisions.decide(question);
    assert.deepEqual([first.decision.passed, first.cached, second.cached], [release === good, false, true]);
    assert.equal(second.decision, first.decision);
  }
  await world.release('three');
  assert.equal((await decisions.decide(await asking(world, good))).cached, false);
});

// Each of these is one part of the key: where it were left out, the second question would be answered by the first one's answer.
test('whatever a decision depends on is in the key of the cache', async (t) => {
  const world = await governed(t, governedPolicy({ rules: [{ kind: 'tests', role: 'builder', blocksRollback: false }, { kind: 'approvals', role: 'release', threshold: 2, blocksRollback: false }] }));
  const one = await world.release('one', { tests: false });
  const tested = await world.release('tested');
  await world.say('bob', { predicateType: predicateTypes.approval, subject: [subjectOf(application, tested)], predicate: { application, environment: 'production', by: 'bob', expires: '2027-01-01T00:00:00Z', reason: null } });
  const decisions = new Decisions(world.options);
  const passed = async (release: Digest, change: Partial<Asking> = {}) => (await decisions.decide(await asking(world, release, change))).decision.passed;

  assert.deepEqual([await passed(tested, { by: 'ada' }), await passed(tested, { by: 'bob' })], [true, false], 'who asks');
  assert.deepEqual([await passed(tested), await passed(one)], [true, false], 'the release');
  assert.deepEqual([await passed(one), await passed(one, { environment: 'staging' })], [false, true], 'the environment');
  assert.deepEqual([await passed(one), await passed(one, { direction: 'rollback' })], [false, true], 'the direction');
  const schema = { version: 5, minimum: 1, maximum: 3 };
  assert.deepEqual([await passed(tested), await passed(tested, { schema })], [true, false], 'the schema that the data has');
  const timeline = await world.ledger.timeline(application, 'production');
  const held = { ...timeline, quarantined: [digestOf('other content')] };
  assert.deepEqual([await passed(tested, { timeline: held }), await passed(tested, { timeline: held, content: digestOf('other content') })], [true, false], 'the content');
  assert.deepEqual([await passed(tested), await passed(tested, { timeline: { ...timeline, quarantined: [tested] } })], [true, false], 'what the timeline says of it');

  // The evidence-set, the facts and the policy change only as the log grows.
  await world.say('ada', { predicateType: predicateTypes.tests, subject: [subjectOf(application, tested)], predicate: { result: 'FAILED', configuration: [{ name: 'again' }], 'https://cairn.internal/tests/v1': { passed: 40, failed: 1 } } });
  assert.equal(await passed(tested), false, 'the evidence');
  await world.say('ada', { predicateType: predicateTypes.tests, subject: [subjectOf(application, tested)], predicate: { result: 'PASSED', configuration: [{ name: 'thrice' }], 'https://cairn.internal/tests/v1': { passed: 41, failed: 0 } } });
  assert.equal(await passed(tested), true);
  await world.ledger.commit([signedBy('sue', revocation('sue', { key: keyOf('bob') }))]);
  assert.equal(await passed(tested), false, 'the facts');
});

test('nothing that was proven or decided under other trust counts', async (t) => {
  const world = await governed(t);
  const one = await world.release('one');
  let trust = digestOf('trust');
  let proofs = 0;
  const decisions = new Decisions({ ...world.options, trust: () => trust, verify: (bundle, key) => (proofs++, world.options.verify(bundle, key)) });
  const question = await asking(world, one);
  await decisions.decide(question);
  await decisions.decide(question, { fresh: true });
  assert.equal(proofs, 2, 'what was proven is not proven again');
  trust = digestOf('other trust');
  const again = await decisions.decide(question);
  assert.deepEqual([again.cached, proofs], [false, 4]);
});

test('a decision holds until time changes it, to the second: an approval ends, a soak opens, a freeze begins and ends', async (t) => {
  const world = await governed(t, policy);
  const one = await world.release('one');
  await world.promote(one, 'staging');
  await approve(world, 'sue', one, 45);
  const decisions = new Decisions(world.options);
  const look = async () => {
    const { decision, cached, time } = await decisions.decide(await asking(world, one));
    return { passed: decision.passed, cached, until: decision.validUntil === null ? null : decision.validUntil - time };
  };
  const wait = (seconds: number) => world.clock.advance(seconds * 1000);
  // Ten in Berlin is nine here: frozen for half an hour, soaking for ten minutes, approved for 45.
  assert.deepEqual(await look(), { passed: false, cached: false, until: 600 });
  wait(599);
  assert.deepEqual(await look(), { passed: false, cached: true, until: 1 });
  wait(1);
  assert.deepEqual(await look(), { passed: false, cached: false, until: 1200 });
  wait(1199);
  assert.deepEqual(await look(), { passed: false, cached: true, until: 1 });
  wait(1);
  assert.deepEqual(await look(), { passed: true, cached: false, until: 900 });
  wait(899);
  assert.deepEqual(await look(), { passed: true, cached: true, until: 1 });
  wait(1);
  assert.equal((await look()).passed, false);
});

test('a clock that goes back is not answered by a decision of the future', async (t) => {
  const world = await governed(t, policy);
  const one = await world.release('one');
  const decisions = new Decisions(world.options);
  world.clock.advance(3_600_000);
  await decisions.decide(await asking(world, one));
  world.clock.advance(-1_800_000);
  assert.equal((await decisions.decide(await asking(world, one))).cached, false);
});

test('a revocation empties the cache at once', async (t) => {
  const world = await governed(t);
  const [one, two] = [await world.release('one'), await world.release('two')];
  const { engine, ways } = world.engine();
  for (const release of [one, two]) await engine.decisions.decide(await asking(world, release));
  assert.equal(engine.decisions.size, 2);
  await revoke(engine, ways, signedBy('sue', revocation('sue', { release: one })));
  assert.equal(engine.decisions.size, 0);
  assert.equal((await engine.decisions.decide(await asking(world, one))).decision.passed, false);
});
