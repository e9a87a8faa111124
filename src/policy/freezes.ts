import { createRequire } from 'node:module';
import type { RRuleTemporal } from 'rrule-temporal';
import { CairnError, shortDigest } from '#core';
import type { Judged } from './decide.ts';
import type { Freeze } from './policy.ts';
import { fail, pass } from './result.ts';
import type { Bench } from './rules.ts';

// Times in which nothing is promoted: RFC 5545 recurrences, computed in their own zone, so that "Friday at 16:00" is that on both
// sides of a change of the clocks. A window lasts its minutes, elapsed; a local time that does not exist begins none (section 3.3.10).

/** Windows that follow each other without a gap are one; more of them than this have no end worth naming. */
const mostChained = 100;
/** No second-by-second windows, and no lists whose product is a day of minutes: they would only cost, at every decision. */
const most = { values: 64, product: 31, COUNT: 10_000, INTERVAL: 1000 };
const ruleForm = /^FREQ=(?:YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY)(?:;(?:INTERVAL|COUNT|UNTIL|BYMONTH|BYMONTHDAY|BYYEARDAY|BYWEEKNO|BYDAY|BYHOUR|BYMINUTE|BYSETPOS|WKST)=[A-Z0-9,+-]+)*$/;

const recurrences = new WeakMap<Freeze, RRuleTemporal>();

export function judgeFreezes({ question, evidence }: Bench, freezes: readonly Freeze[]): Judged[] {
  if (freezes.length === 0) return [];
  const rule = { blocksRollback: false };
  const frozen = freezes.find((one) => endOf(one, question.time) !== null);
  if (frozen !== undefined) {
    const opens = opening(freezes, question.time);
    const when = opens === null ? null : `opens at ${at(opens)}`;
    const why = frozen.reason === undefined ? '' : `: ${frozen.reason}`;
    return [fail('not-frozen', `${question.environment} is frozen (${frozen.name}${why})`, rule, { nearest: when, fix: `Wait, or: cairn break-glass ${shortDigest(evidence.release)} ${question.environment} --reason TEXT`, cause: 'unmet' }, opens ?? undefined)];
  }
  const starts = freezes.flatMap((one) => nextStart(one, question.time) ?? []);
  const next = starts.length === 0 ? undefined : Math.min(...starts);
  return [pass('not-frozen', next === undefined ? 'no freeze lies ahead' : `no freeze before ${at(next)}`, rule, [], next)];
}

/** @throws CairnError `malformed-document`: a zone, a time or a rule that means nothing, or none that ever comes */
export function requireFreeze(freeze: Freeze): void {
  try {
    if (freeze.rule !== undefined && !ruleForm.test(freeze.rule)) throw new RangeError('the rule is none of RFC 5545 that is taken here');
    requireBounded(freeze.rule ?? '');
    recurrenceOf(freeze)?.all((_, index) => index < 1);
    startOf(freeze);
  } catch (cause) {
    throw new CairnError('malformed-document', `policy: the freeze ${freeze.name}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause, fix: 'start: 2026-12-18T16:00, zone: Europe/Berlin, rule: FREQ=WEEKLY;BYDAY=FR (YEARLY, MONTHLY, WEEKLY, DAILY or HOURLY)',
    });
  }
}

function requireBounded(rule: string): void {
  let product = 1;
  for (const part of rule.split(';')) {
    const [name = '', value = ''] = part.split('=');
    const values = value.split(',').length;
    if (name.startsWith('BY') && name !== 'BYDAY') product *= values;
    const large = (name === 'COUNT' || name === 'INTERVAL') && Number(value) > most[name];
    if (large || values > most.values || product > most.product) throw new RangeError(`${name} of the rule is too much to compute at every decision`);
  }
}

/** Seconds since 1970 at which the window that holds `time` ends; null where none holds it. */
function endOf(freeze: Freeze, time: number): number | null {
  const start = lastStart(freeze, time);
  const end = start === null ? null : start + freeze.minutes * 60;
  return end !== null && end > time ? end : null;
}

/** The first moment at which none of them holds any more. */
function opening(freezes: readonly Freeze[], time: number): number | null {
  let opens = time;
  for (let links = 0; links < mostChained; links++) {
    const ends = freezes.flatMap((one) => endOf(one, opens) ?? []);
    if (ends.length === 0) return opens;
    opens = Math.max(...ends);
  }
  return null;
}

function lastStart(freeze: Freeze, time: number): number | null {
  const recurrence = recurrenceOf(freeze);
  if (recurrence !== null) return secondsOf(recurrence.previous(zoned(freeze, time), true));
  const start = secondsOf(startOf(freeze));
  return start !== null && start <= time ? start : null;
}

function nextStart(freeze: Freeze, time: number): number | null {
  const recurrence = recurrenceOf(freeze);
  if (recurrence !== null) return secondsOf(recurrence.next(zoned(freeze, time), false));
  const start = secondsOf(startOf(freeze));
  return start !== null && start > time ? start : null;
}

function recurrenceOf(freeze: Freeze): RRuleTemporal | null {
  if (freeze.rule === undefined) return null;
  // Most policies have none, and it is most of what reading a policy would load.
  const { RRuleTemporal: Recurrence } = createRequire(import.meta.url)('rrule-temporal') as { readonly RRuleTemporal: typeof RRuleTemporal };
  const known = recurrences.get(freeze) ?? new Recurrence({ rruleString: freeze.rule, dtstart: startOf(freeze), tzid: freeze.zone, strict: true });
  recurrences.set(freeze, known);
  return known;
}

function startOf({ start, zone }: Freeze): Temporal.ZonedDateTime {
  return Temporal.PlainDateTime.from(start).toZonedDateTime(zone);
}

function zoned({ zone }: Freeze, time: number): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(time * 1000).toZonedDateTimeISO(zone);
}

function secondsOf(when: { readonly epochMilliseconds: number } | null): number | null {
  return when === null ? null : Math.floor(when.epochMilliseconds / 1000);
}

function at(time: number): string {
  return `${new Date(time * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
