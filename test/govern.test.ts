import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePredicate, predicateTypes, subjectOf, type RuleResult } from '#attest';
import { CairnError, type Digest } from '#core';
import { policyDigest, type Policy } from '#policy';
import { delivery } from '#release';
import { application, governed, governedPolicy, keyOf, nonce, revocation, signedBy, type World } from './support/governed.ts';

/** The failure that a promise must end in, by its code, and the rules that it names. */
async function refused(work: Promise<unknown>, code = 'refused'): Promise<{ error: CairnError; failed: (name: string) => RuleResult | undefined }> {
  const error = await work.then(() => undefined, (thrown: unknown) => thrown);
  assert.ok(error instanceof CairnError, `it went through, or crashed: ${String(error)}`);
  assert.equal(error.code, code, error.message);
  assert.ok(error.fix, 'a refusal says what mends it');
  const rules = (error.context as { rules?: readonly RuleResult[] }).rules ?? [];
  return { error, failed: (name) => rules.find(({ rule, passed }) => rule === name && !passed) };
}

const approve = (world: World, by: string, release: Digest, expires: string) =>
  world.say(by, { predicateType: predicateTypes.approval, subject: [subjectOf(application, release)], predicate: { application, environment: 'production', by, expires, reason: null } });

test('a revoked key: nothing that it signed counts, not what it signed before either, where no log index is named', async (t) => {
  const world = await governed(t);
  const one = await world.release('one');
  await world.promote(one, 'production');
  const touched = await world.revoke('sue', { key: keyOf('ada') });
  assert.deepEqual(touched.map(({ environment, revision, back }) => [environment, revision, back]), [['production', 1, null]]);
  const { failed } = await refused(world.promote(one, 'staging', 'bob'));
  assert.match(failed('provenance')?.nearest ?? '', /a key of ada that sue revoked$/);
  assert.deepEqual([failed('provenance')?.cause, failed('provenance')?.evidence?.length], ['unmet', 1]);
});

test('a revoked key after log index N: what it signed up to there counts, what it signed behind it does not', async (t) => {
  const world = await governed(t);
  const [one] = [await world.release('one')];
  const after = (await world.ledger.newest()).size - 1;
  const two = await world.release('two');
  await world.revoke('sue', { key: keyOf('ada'), after });
  assert.equal((await world.promote(one, 'production', 'bob')).revision.state, 'confirmed');
  const { failed } = await refused(world.promote(two, 'production', 'bob'));
  assert.match(failed('provenance')?.nearest ?? '', new RegExp(`sue revoked after log entry ${after}$`));
});

test('a revoked key writes nothing more, also where it was revoked after a log index', async (t) => {
  const world = await governed(t);
  const one = await world.release('one');
  await world.revoke('sue', { key: keyOf('ada'), after: (await world.ledger.newest()).size - 1 });
  const { error } = await refused(world.promote(one, 'production', 'ada'), 'unauthorized');
  assert.equal(error.context['reason'], 'key-revoked');
  await refused(world.revoke('ada', { release: one }), 'unauthorized');
  await refused(world.breakGlass('ada', one), 'unauthorized');
  await refused(world.moves.requireWriter(signedBy('ada', revocation('ada', { release: one }))), 'unauthorized');
  assert.equal((await world.moves.requireWriter(signedBy('bob', revocation('bob', { release: one })))).name, 'bob');
});

test('only those whom the policy names revoke, and each their own key', async (t) => {
  const world = await governed(t, { ...governedPolicy(), revoke: ['security'] });
  const one = await world.release('one');
  await refused(world.revoke('bob', { release: one }), 'unauthorized');
  await refused(world.revoke('bob', { key: keyOf('ada') }), 'unauthorized');
  await world.revoke('bob', { key: keyOf('bob') });
  await refused(world.moves.revoke(signedBy('sue', revocation('rex', { release: one }))), 'unauthorized');
  await refused(world.revoke('sue', { key: keyOf('ada'), after: 1_000_000 }), 'usage');
  await refused(world.revoke('sue', { key: 'AAAA' }), 'malformed-document');
  await refused(world.revoke('sue', { purl: 'left-pad' }), 'malformed-document');
});

test('a revoked release is let in nowhere, and what runs of it is listed with the way back that the gate lets in', async (t) => {
  const world = await governed(t);
  const [one, two] = [await world.release('one'), await world.release('two')];
  for (const release of [one, two]) for (const environment of ['staging', 'production']) await world.promote(release, environment);
  const touched = await world.revoke('sue', { release: two });
  assert.deepEqual(touched.map(({ environment, revision, back, fix }) => [environment, revision, back?.release, fix]), [
    ['production', 2, one, 'cairn rollback production --to 1 --reason "revoked"'], ['staging', 2, one, 'cairn rollback staging --to 1 --reason "revoked"'],
  ]);
  assert.equal((await world.rollback('production')).revision.release, one);
  assert.ok((await refused(world.promote(two, 'production'))).failed('not-revoked'));
});

test('a revoked package stops promotions and rollbacks of every release whose bill of materials names it, by its canonical URL', async (t) => {
  const world = await governed(t);
  const padded = await world.release('padded', { packages: ['pkg:npm/left-pad@1.3.0?arch=any'] });
  const newer = await world.release('newer', { packages: ['pkg:npm/left-pad@1.4.0', 'pkg:npm/%40scope/thing@2.0.0'] });
  const plain = await world.release('plain', { packages: [] });
  for (const release of [padded, newer, plain]) await world.promote(release, 'production');
  const touched = await world.revoke('sue', { purl: 'pkg:NPM/left-pad@1.3.0' });
  assert.deepEqual(touched, []);
  const { failed } = await refused(world.promote(padded, 'staging'));
  assert.match(failed('no-revoked-package')?.found ?? '', /^contains pkg:npm\/left-pad@1\.3\.0\?arch=any, which sue revoked: CVE-2026-1$/);
  assert.equal((await world.rollback('production')).revision.release, newer);
  // Without a version: all of them. The live release is touched, and nothing that is left may return.
  const all = await world.revoke('sue', { purl: 'pkg:npm/left-pad' });
  assert.deepEqual(all.map(({ environment, what, back }) => [environment, what, back]), [['production', 'contains pkg:npm/left-pad@1.4.0', null]]);
  assert.match(all[0]?.problem ?? '', /may not return: contains pkg:npm\/left-pad@1\.3\.0/);
  await refused(world.rollback('production'));
  assert.equal((await world.promote(plain, 'staging')).revision.state, 'confirmed');
});

test('broken glass lets one promotion past the rules that failed, and the verdict says which, and by whose statements', async (t) => {
  const world = await governed(t);
  const one = await world.release('one', { tests: false });
  assert.ok((await refused(world.promote(one, 'production'))).failed('tests'));
  const { envelope } = await world.breakGlass('bob', one);
  const moved = await world.promote(one, 'production');
  assert.deepEqual(moved.debts.map(({ rule, waived }) => [rule, waived]), [['tests', true]]);
  const verdict = await world.ledger.verdictOf(moved.operation);
  assert.ok(verdict);
  const glass = parsePredicate('verdict', verdict.statement)['https://cairn.internal/verdict/v1'].rules.find(({ rule }) => rule === 'break-glass');
  assert.deepEqual([glass?.passed, glass?.found, glass?.evidence], [true, 'bob: customers cannot pay; past tests', [envelope]]);
});

test('a debt blocks the next promotion into that environment until somebody else settles it, and never a rollback', async (t) => {
  const world = await governed(t);
  const [good, one, two] = [await world.release('good'), await world.release('one', { tests: false }), await world.release('two')];
  await world.promote(good, 'production');
  const { envelope } = await world.breakGlass('bob', one);
  await world.promote(one, 'production');
  const { failed } = await refused(world.promote(two, 'production'));
  assert.match(failed('no-debt')?.found ?? '', /^bob broke the glass of production for [0-9a-f]{12}: customers cannot pay$/);
  assert.deepEqual(failed('no-debt')?.evidence, [envelope]);
  // Neither does more broken glass pass it.
  await world.breakGlass('rex', two);
  assert.match((await refused(world.promote(two, 'production'))).failed('break-glass')?.found ?? '', /does not pass no-debt/);
  assert.equal((await world.promote(two, 'staging')).revision.state, 'confirmed');
  assert.equal((await world.rollback('production')).revision.release, good);
  await refused(world.settle('bob', envelope, one), 'unauthorized');
  await refused(world.settle('sue', envelope, two), 'not-found');
  await world.settle('sue', envelope, one);
  await refused(world.settle('sue', envelope, one), 'conflict');
  assert.equal((await world.promote(two, 'production')).revision.state, 'confirmed');
});

test('broken glass is for one promotion: used, it lets nothing more past', async (t) => {
  const world = await governed(t);
  const [one, two] = [await world.release('one', { tests: false }), await world.release('two')];
  const { envelope } = await world.breakGlass('bob', one);
  await world.promote(one, 'production');
  await world.settle('sue', envelope, one);
  await world.promote(two, 'production');
  const { failed } = await refused(world.promote(one, 'production'));
  assert.deepEqual([failed('tests')?.cause, failed('break-glass')], ['absent', undefined]);
});

test('an expired break-glass is refused, by the time of the log and never for longer than the policy has it', async (t) => {
  const world = await governed(t);
  const one = await world.release('one', { tests: false });
  await world.breakGlass('bob', one, { hours: 2 });
  world.clock.advance(2 * 3_600_000);
  const { failed } = await refused(world.promote(one, 'production'));
  assert.match(failed('break-glass')?.nearest ?? '', /by bob has expired$/);
  await refused(world.breakGlass('bob', one, { hours: 5 }));
  await refused(world.breakGlass('bob', one, { hours: 0 }));
});

test('broken glass passes no revocation', async (t) => {
  const world = await governed(t);
  const [one, two] = [await world.release('one', { tests: false }), await world.release('two', { tests: false, packages: ['pkg:npm/left-pad@1.3.0'] })];
  for (const release of [one, two]) await world.breakGlass('bob', release);
  await world.revoke('sue', { release: one });
  await world.revoke('sue', { purl: 'pkg:npm/left-pad' });
  assert.match((await refused(world.promote(one, 'production'))).failed('break-glass')?.found ?? '', /^does not pass not-revoked$/);
  assert.match((await refused(world.promote(two, 'production'))).failed('break-glass')?.found ?? '', /^does not pass no-revoked-package$/);
});

test('broken glass counts people of its role, not statements, and only while their keys count', async (t) => {
  const world = await governed(t, governedPolicy({ breakGlass: { role: 'release', threshold: 2, hours: 4 } }));
  const one = await world.release('one', { tests: false });
  await refused(world.breakGlass('sue', one), 'unauthorized');
  await world.breakGlass('bob', one);
  assert.deepEqual((await world.breakGlass('bob', one)).people, ['bob']);
  assert.match((await refused(world.promote(one, 'production'))).failed('break-glass')?.found ?? '', /^1 of 2 people broke the glass \(bob\)$/);
  assert.deepEqual((await world.breakGlass('rex', one)).people, ['bob', 'rex']);
  await world.revoke('sue', { key: keyOf('rex') });
  assert.match((await refused(world.promote(one, 'production'))).failed('break-glass')?.nearest ?? '', /a key of rex that sue revoked/);
  await world.breakGlass('ada', one);
  const moved = await world.promote(one, 'production');
  assert.equal((await world.ledger.debts())[0]?.by, 'bob, ada');
  assert.equal(moved.revision.state, 'confirmed');
});

test('nobody breaks the glass where the policy lets nobody, or where nobody else could settle it', async (t) => {
  const alone = await governed(t, { ...governedPolicy(), revoke: ['developer'] });
  await refused(alone.breakGlass('bob', await alone.release('one', { tests: false })));
  const world = await governed(t);
  await refused(world.breakGlass('bob', await world.release('one'), { environment: 'staging' }));
});

test('a freeze refuses promotions with the time at which it opens, and lets rollbacks and broken glass through', async (t) => {
  // Mondays in Berlin from nine to noon; the clock stands at ten there.
  const world = await governed(t, governedPolicy({ freezes: [{ name: 'monday', start: '2026-01-05T09:00', minutes: 180, rule: 'FREQ=WEEKLY;BYDAY=MO', zone: 'Europe/Berlin', reason: 'the week begins' }] }));
  const [one, two] = [await world.release('one'), await world.release('two')];
  world.clock.advance(3 * 3_600_000);
  for (const release of [one, two]) await world.promote(release, 'production');
  world.clock.advance(7 * 24 * 3_600_000 - 3 * 3_600_000);
  const { failed } = await refused(world.promote(one, 'staging').then(() => world.promote(one, 'production')));
  assert.deepEqual([failed('not-frozen')?.found, failed('not-frozen')?.nearest], ['production is frozen (monday: the week begins)', 'opens at 2026-03-09 11:00 UTC']);
  assert.equal((await world.rollback('production')).revision.release, one);
  const hot = await world.release('hot');
  await world.breakGlass('bob', hot);
  assert.deepEqual((await world.promote(hot, 'production')).debts.map(({ rule }) => rule), ['not-frozen']);
});

test('an expired approval is refused', async (t) => {
  const policy = governedPolicy({ rules: [{ kind: 'approvals', role: 'security', threshold: 1, blocksRollback: false }] });
  const world = await governed(t, policy);
  const one = await world.release('one');
  const { failed: without } = await refused(world.promote(one, 'production'));
  assert.equal(without('approvals')?.cause, 'absent');
  await approve(world, 'sue', one, '2026-03-02T10:00:00Z');
  world.clock.advance(3_600_000);
  const { failed } = await refused(world.promote(one, 'production'));
  assert.match(failed('approvals')?.nearest ?? '', /by sue has expired$/);
  assert.deepEqual([failed('approvals')?.cause, failed('approvals')?.evidence?.length], ['unmet', 1]);
});

test('an envelope that is missing from the ledger halts the decision and opens an incident, which halts the release until it is resolved', async (t) => {
  const world = await governed(t);
  const one = await world.release('one');
  world.edit(`delete from envelopes where digest in (select digest from statements where predicate_type = '${predicateTypes.tests}')`);
  const { error } = await refused(world.promote(one, 'production'), 'incident');
  assert.deepEqual([error.context['discrepancy'], error.context['reason']], ['verification-failed', 'envelope-missing']);
  const [incident] = await world.ledger.incidents();
  assert.deepEqual([incident?.release, incident?.environment, incident?.owner], [one, 'production', null]);
  assert.equal((await world.ledger.timeline(application, 'production')).head, 0);
});

test('an envelope that somebody edited is an incident too, though its decision was made before', async (t) => {
  const world = await governed(t);
  const one = await world.release('one');
  await world.promote(one, 'production');
  world.edit(`update envelopes set body = (select body from envelopes where idx = 1) where digest in (select digest from statements where predicate_type = '${predicateTypes.tests}')`);
  assert.equal((await refused(world.promote(one, 'staging'), 'incident')).error.context['discrepancy'], 'verification-failed');
});

test('an envelope that stands under the name of another is an incident, though it holds by itself', async (t) => {
  const world = await governed(t);
  const [one, two] = [await world.release('one'), await world.release('two')];
  const digestOf = async (release: Digest) => (await world.ledger.about(release, predicateTypes.tests))[0]?.digest;
  const [own, other] = [await digestOf(one), await digestOf(two)];
  world.edit(`create temp table swapped as select idx, key, body from envelopes where digest = '${other}'; delete from envelopes where digest = '${other}';
    update envelopes set (idx, key, body) = (select idx, key, body from swapped) where digest = '${own}'`);
  assert.equal((await refused(world.promote(one, 'staging'), 'incident')).error.context['reason'], 'envelope-altered');
});

test('an open incident halts promotions of its release alone, has an owner, and ends with a resolution', async (t) => {
  const world = await governed(t);
  const [one, two] = [await world.release('one'), await world.release('two')];
  const { engine } = world.engine();
  await engine.openIncident({ operation: 'an operation', application, environment: 'staging', release: one }, new CairnError('digest-mismatch', 'a blob is not what it is called'));
  const [{ logIndex } = { logIndex: -1 }] = await world.ledger.incidents();
  const { failed } = await refused(world.promote(one, 'production'));
  assert.deepEqual([failed('no-open-incident')?.found, failed('no-open-incident')?.nearest], [`incident ${logIndex} (digest-mismatch in staging) is open`, 'nobody owns it']);
  assert.equal((await world.promote(two, 'production')).revision.state, 'confirmed');
  const say = (by: string, change: object) =>
    world.moves.resolve(signedBy(by, { predicateType: predicateTypes.resolution, subject: [subjectOf(application, one)], predicate: { incident: logIndex, action: 'own', by, nonce: nonce(), owner: by, resolution: null, ...change } }));
  await say('sue', {});
  assert.equal((await refused(world.promote(one, 'production'))).failed('no-open-incident')?.nearest, 'sue owns it');
  await refused(say('sue', { incident: 1 }), 'not-found');
  await refused(say('sue', { action: 'resolve' }), 'malformed-document');
  await refused(say('sue', { owner: 'nobody' }));
  await say('sue', { action: 'resolve', resolution: 'the disk was changed, the blob restored' });
  await refused(say('sue', {}), 'conflict');
  assert.equal((await world.promote(one, 'production')).revision.state, 'confirmed');
});

test('rebuilding the index gives the same revocations, debts and incidents', async (t) => {
  const world = await governed(t);
  const [one, two] = [await world.release('one', { tests: false }), await world.release('two')];
  await world.breakGlass('bob', one);
  await world.promote(one, 'production');
  const [debt] = await world.ledger.debts();
  assert.ok(debt);
  await world.settle('sue', debt.envelope, one);
  await world.revoke('sue', { release: two });
  await world.revoke('sue', { key: keyOf('rex'), after: 3 });
  await world.revoke('sue', { purl: 'pkg:npm/left-pad' });
  assert.equal((await world.ledger.rebuild()).same, true);
});

test('what was revoked is in no plan of the runner from that moment on', async (t) => {
  const world = await governed(t);
  const [one, two, three] = [await world.release('one'), await world.release('two'), await world.release('three')];
  for (const release of [one, two, three]) await world.promote(release, 'production');
  await world.moves.preflight();
  assert.deepEqual(world.plans.get('production'), [two, one]);
  await world.revoke('sue', { release: two });
  assert.deepEqual(world.plans.get('production'), [one]);
  await world.revoke('sue', { key: keyOf('ada') });
  assert.deepEqual(world.plans.get('production'), []);
});

test('the key of who tested was revoked: that stops a rollback only where the rule that rests on it does', async (t) => {
  for (const blocksRollback of [false, true]) {
    const world = await governed(t, governedPolicy({ rules: [{ kind: 'provenance', role: 'builder', blocksRollback: true }, { kind: 'tests', role: 'developer', blocksRollback }] }));
    const [one, two] = [await world.release('one', { tests: false }), await world.release('two', { tests: false })];
    for (const release of [one, two]) {
      await world.say('bob', { predicateType: predicateTypes.tests, subject: [subjectOf(application, release)], predicate: { result: 'PASSED', configuration: [{ name: release }] } });
      await world.promote(release, 'production');
    }
    const touched = await world.revoke('sue', { key: keyOf('bob') });
    assert.deepEqual(touched.map(({ revision, back }) => [revision, back?.release]), [[2, blocksRollback ? undefined : one]]);
    if (blocksRollback) assert.ok((await refused(world.rollback('production'))).failed('tests'));
    else assert.deepEqual((await world.rollback('production')).debts.map(({ rule }) => rule), ['tests']);
  }
});

test('a revocation that is logged while a promotion is decided counts for it', async (t) => {
  const world = await governed(t);
  const one = await world.release('one');
  const { commit } = world.ledger;
  const racing = delivery({
    ...world.options,
    ledger: {
      ...world.ledger,
      commit: async (statements, expect) => {
        // Between the decision and its commit, once.
        if (expect !== undefined && (await world.ledger.timeline(application, 'production')).revoked.length === 0) await world.ledger.commit([signedBy('sue', revocation('sue', { release: one }))]);
        return commit(statements, expect);
      },
    },
  });
  const request = { action: 'promote' as const, application, environment: 'production', by: 'ada', nonce: nonce(), head: 0, configuration: {}, secrets: {}, restores: null, reason: null };
  const { failed } = await refused(racing.promote(signedBy('ada', { predicateType: predicateTypes.request, subject: [subjectOf(application, one)], predicate: request })));
  assert.ok(failed('not-revoked'));
});

test('a policy that came into force while a promotion was decided is the one that it is decided by', async (t) => {
  const policy = governedPolicy();
  const world = await governed(t, policy);
  const one = await world.release('one', { tests: false });
  const next: Policy = { ...policy, version: 2, previous: policyDigest(policy), environments: policy.environments.map((place) => ({ ...place, rules: place.rules.filter(({ kind }) => kind === 'provenance') })) };
  const { commit } = world.ledger;
  let decided = 0;
  const racing = delivery({
    ...world.options,
    ledger: {
      ...world.ledger,
      commit: async (statements, expect) => {
        // Between the decision and its commit, the quorum of the policy before it is complete.
        if (expect !== undefined && decided++ === 0) for (const name of ['ada', 'bob', 'sue']) await world.say(name, { predicateType: predicateTypes.policy, subject: [subjectOf('policy', policyDigest(next))], predicate: next });
        return commit(statements, expect);
      },
    },
  });
  const request = { action: 'promote' as const, application, environment: 'production', by: 'ada', nonce: nonce(), head: 0, configuration: {}, secrets: {}, restores: null, reason: null };
  const moved = await racing.promote(signedBy('ada', { predicateType: predicateTypes.request, subject: [subjectOf(application, one)], predicate: request }));
  const verdict = await world.ledger.verdictOf(moved.operation);
  assert.ok(verdict);
  assert.equal(`sha256:${parsePredicate('verdict', verdict.statement).policy.digest.sha256}`, policyDigest(next));
});

test('a registry that asks for patience is told from one that does not answer, in the refusal and in the verdict', async (t) => {
  const world = await governed(t);
  const one = await world.release('one', { tests: false });
  for (const code of ['throttled', 'unreachable'] as const) {
    const moves = delivery({ ...world.options, collect: async () => { throw new CairnError(code, `the registry is ${code}`, { retryable: true }); } });
    const { head } = await world.ledger.timeline(application, 'production');
    const predicate = { action: 'promote' as const, application, environment: 'production', by: 'ada', nonce: nonce(), head, configuration: {}, secrets: {}, restores: null, reason: null };
    const { failed } = await refused(moves.promote(signedBy('ada', { predicateType: predicateTypes.request, subject: [subjectOf(application, one)], predicate })));
    assert.deepEqual([failed('tests')?.cause, failed('tests')?.nearest], [code, `registry is ${code}: the registry is ${code}`]);
  }
});

test('a rollback that the runner made and the log does not have yet is logged before its release is resumed, which would else be held afterwards', async (t) => {
  const world = await governed(t);
  const [one, two] = [await world.release('one'), await world.release('two')];
  for (const release of [one, two]) await world.promote(release, 'production');
  const { revisions } = await world.ledger.timeline(application, 'production');
  const switched = { sequence: 99, operation: 'by the runner', application, environment: 'production', to: revisions[0]?.content ?? one, milliseconds: 1, restores: 1, reason: null, by: 'ada' };
  const moves = delivery({ ...world.options, gateway: { ...world.options.gateway, switches: async (after) => (after < switched.sequence ? [switched] : []) } });
  const predicate = { action: 'resume' as const, application, environment: 'production', by: 'ada', nonce: nonce(), head: null, configuration: {}, secrets: {}, restores: null, reason: null };
  await moves.resume(signedBy('ada', { predicateType: predicateTypes.request, subject: [subjectOf(application, two)], predicate }));
  const { live, quarantined } = await world.ledger.timeline(application, 'production');
  assert.deepEqual([live?.release, live?.restores, quarantined], [one, 1, []]);
});
