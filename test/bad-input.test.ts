import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { predicateTypes, subjectOf, type RuleResult } from '#attest';
import { CairnError, type Digest } from '#core';
import { application, governed, governedPolicy, type World } from './support/governed.ts';

// Every class of bad input has a test that shows its refusal. Where it stands is in bad-input.json; that it stands there is shown here.

interface Shown {
  readonly class: string;
  readonly file: string;
  /** Of the test's name, as it is written. */
  readonly test: string;
  /** What the test asserts: a code, a reason, or the words of the refusal. */
  readonly says: string;
}
const root = join(import.meta.dirname, '..');
const classes = JSON.parse(readFileSync(join(root, 'test/bad-input.json'), 'utf8')) as readonly Shown[];

test('every class of bad input has a test that shows the refusal and what it says', () => {
  assert.equal(new Set(classes.map((one) => one.class)).size, classes.length);
  assert.deepEqual(classes.flatMap((one) => {
    const text = readFileSync(join(root, one.file), 'utf8');
    const at = text.indexOf(one.test);
    if (at < 0 || !/test\(\s*['"`][^\n]*$/.test(text.slice(text.lastIndexOf('\n', at), at))) return [`${one.class}: ${one.file} has no test called "${one.test}"`];
    const end = text.indexOf('\n});', at);
    return one.says !== '' && text.slice(at, end < 0 ? undefined : end).includes(one.says) ? [] : [`${one.class}: the test does not say "${one.says}"`];
  }), []);
});

/** The rule of a promotion that was refused. */
async function refusedBy(rule: string, promotion: Promise<unknown>): Promise<RuleResult | undefined> {
  const error = await promotion.then(() => undefined, (thrown: unknown) => thrown);
  assert.ok(error instanceof CairnError && error.code === 'refused', `it went through, or crashed: ${String(error)}`);
  return (error.context as { rules?: readonly RuleResult[] }).rules?.find((one) => one.rule === rule && !one.passed);
}

const approve = (world: World, by: string, release: Digest) =>
  world.say(by, { predicateType: predicateTypes.approval, subject: [subjectOf(application, release)], predicate: { application, environment: 'production', by, expires: '2026-03-09T00:00:00Z', reason: null } });

test('self-approval where the policy forbids it is refused: neither who asks nor who built it approves', async (t) => {
  const rule = { kind: 'approvals', role: 'release', threshold: 1, blocksRollback: false } as const;
  const strict = await governed(t, governedPolicy({ rules: [{ ...rule, independent: true }] }));
  const one = await strict.release('one', { by: 'ada' });
  // bob asks, ada built: both approve as well, and nobody has looked who is neither.
  await approve(strict, 'ada', one);
  await approve(strict, 'bob', one);
  const failed = await refusedBy('approvals', strict.promote(one, 'production', 'bob'));
  assert.deepEqual([failed?.found, failed?.cause], ['release: 0 of 1 people', 'unmet']);
  assert.match(failed?.nearest ?? '', /bob, who built the release or asks for it/);
  assert.match(failed?.fix ?? '', /^rex: cairn approve/);
  await approve(strict, 'rex', one);
  assert.equal((await strict.promote(one, 'production', 'bob')).revision.state, 'confirmed');

  const loose = await governed(t, governedPolicy({ rules: [rule] }));
  assert.equal((await loose.promote(await loose.release('one'), 'production', 'ada')).revision.state, 'confirmed', 'and where it does not, who asks is one');
});
