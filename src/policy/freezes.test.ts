import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson } from '#core';
import { decide } from './decide.ts';
import { evidence, policyOf, question } from './fixture.ts';
import { parsePolicy, type Freeze } from './policy.ts';

const at = (text: string) => Date.parse(text) / 1000;
const friday: Freeze = { name: 'friday', start: '2026-01-02T16:00', minutes: 120, rule: 'FREQ=WEEKLY;BYDAY=FR', zone: 'Europe/Berlin' };

function look(freezes: Freeze[], time: string) {
  const base = policyOf([{ kind: 'clean', blocksRollback: false }]);
  const policy = { ...base, environments: base.environments.map((one) => ({ ...one, freezes })) };
  const { rules, passed, validUntil } = decide(policy, evidence, { ...question, time: at(time) });
  const rule = rules.find((one) => one.rule === 'not-frozen');
  return { passed, opens: rule?.nearest ?? null, until: validUntil === null ? null : new Date(validUntil * 1000).toISOString() };
}

const open = (until: string | null) => ({ passed: true, opens: null, until });
const frozen = (opens: string, until: string) => ({ passed: false, opens: `opens at ${opens} UTC`, until });

test('a weekly freeze is at the same local time on both sides of a change of the clocks', () => {
  // Berlin is an hour ahead of UTC until 29 March 2026, and two from then on.
  assert.deepEqual(look([friday], '2026-03-27T14:59:59Z'), open('2026-03-27T15:00:00.000Z'));
  assert.deepEqual(look([friday], '2026-03-27T15:00:00Z'), frozen('2026-03-27 17:00', '2026-03-27T17:00:00.000Z'));
  assert.deepEqual(look([friday], '2026-03-27T16:59:59Z'), frozen('2026-03-27 17:00', '2026-03-27T17:00:00.000Z'));
  assert.deepEqual(look([friday], '2026-03-27T17:00:00Z'), open('2026-04-03T14:00:00.000Z'));
  assert.deepEqual(look([friday], '2026-04-03T14:00:00Z'), frozen('2026-04-03 16:00', '2026-04-03T16:00:00.000Z'));
});

test('a window that spans the change of the clocks lasts its minutes, and a local time that does not exist begins none', () => {
  const night: Freeze = { name: 'night', start: '2026-03-27T01:00', minutes: 180, rule: 'FREQ=DAILY', zone: 'Europe/Berlin' };
  assert.deepEqual(look([night], '2026-03-29T02:30:00Z'), frozen('2026-03-29 03:00', '2026-03-29T03:00:00.000Z'));
  const gap: Freeze = { ...night, start: '2026-03-27T02:30', minutes: 30 };
  assert.deepEqual(look([gap], '2026-03-29T01:15:00Z'), open('2026-03-30T00:30:00.000Z'));
  // 2:30 comes twice on 25 October; the freeze is at the first of them.
  assert.deepEqual(look([gap], '2026-10-25T00:30:00Z'), frozen('2026-10-25 01:00', '2026-10-25T01:00:00.000Z'));
  assert.deepEqual(look([gap], '2026-10-25T01:30:00Z'), open('2026-10-26T01:30:00.000Z'));
});

test('windows that follow each other open at the end of the last, over several freezes too', () => {
  const after: Freeze = { name: 'after', start: '2026-03-27T18:00', minutes: 60, zone: 'Europe/Berlin' };
  assert.equal(look([friday, after], '2026-03-27T16:00:00Z').opens, 'opens at 2026-03-27 18:00 UTC');
  const always: Freeze = { name: 'always', start: '2026-01-01T00:00', minutes: 1440, rule: 'FREQ=DAILY', zone: 'UTC' };
  assert.deepEqual(look([always], '2026-03-27T16:00:00Z'), { passed: false, opens: null, until: null });
});

test('a freeze without a rule is once, one with a count ends, and none before its start', () => {
  const once: Freeze = { name: 'once', start: '2026-12-24T00:00', minutes: 60 * 24 * 3, zone: 'America/New_York' };
  assert.deepEqual(look([once], '2026-12-24T04:59:59Z'), open('2026-12-24T05:00:00.000Z'));
  assert.deepEqual(look([once], '2026-12-27T04:59:59Z'), frozen('2026-12-27 05:00', '2026-12-27T05:00:00.000Z'));
  assert.deepEqual(look([once], '2026-12-27T05:00:00Z'), open(null));
  const counted: Freeze = { ...friday, rule: 'FREQ=WEEKLY;BYDAY=FR;COUNT=2' };
  assert.deepEqual(look([counted], '2025-12-26T15:30:00Z'), open('2026-01-02T15:00:00.000Z'));
  assert.equal(look([counted], '2026-01-09T15:30:00Z').passed, false);
  assert.deepEqual(look([counted], '2026-01-16T15:30:00Z'), open(null));
});

test('a freeze that means nothing makes no policy', () => {
  const policy = (freeze: Freeze) => {
    const base = policyOf([{ kind: 'clean', blocksRollback: false }]);
    return () => parsePolicy(canonicalJson({ ...base, environments: base.environments.map((one) => ({ ...one, freezes: [freeze] })) }));
  };
  assert.doesNotThrow(policy(friday));
  for (const change of [
    { rule: 'FREQ=SECONDLY' }, { rule: 'FREQ=WEEKLY;BYDAY=XX' }, { rule: 'FREQ=DAILY;FOO=1' }, { rule: 'FREQ=DAILY\nRDATE:20260101' }, { rule: 'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30' }, { rule: 'FREQ=DAILY;INTERVAL=0' },
    { rule: `FREQ=YEARLY;BYHOUR=${Array.from({ length: 24 }, (_, hour) => hour).join()};BYMINUTE=0,10,20,30` }, { rule: 'FREQ=DAILY;COUNT=100000000' }, { rule: 'FREQ=HOURLY;INTERVAL=9999999' },
    { zone: 'Mars/Olympus' }, { start: '2026-02-30T16:00' }, { minutes: 0 },
  ]) assert.throws(policy({ ...friday, ...change }), { code: 'malformed-document' }, JSON.stringify(change));
});
