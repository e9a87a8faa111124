import { timestampMs, type Timestamp } from '@bufbuild/protobuf/wkt';
import type { timeParts } from './cel-functions.ts';

/** The library reads parts of a time off a date in this machine's zone, where hours are missing once a year: the same decision everywhere needs UTC. */
export function partOf(name: (typeof timeParts)[number], at: Timestamp, zone: string | undefined): bigint {
  const utc = new Date(timestampMs(at));
  const local = zone === undefined ? utc : new Date(utc.getTime() + offsetMs(utc, zone));
  const day = Date.UTC(local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate());
  switch (name) {
    case 'getFullYear':
      return BigInt(local.getUTCFullYear());
    case 'getMonth':
      return BigInt(local.getUTCMonth());
    case 'getDate':
      return BigInt(local.getUTCDate());
    case 'getDayOfMonth':
      return BigInt(local.getUTCDate() - 1);
    case 'getDayOfWeek':
      return BigInt(local.getUTCDay());
    case 'getDayOfYear':
      return BigInt((day - Date.UTC(local.getUTCFullYear(), 0, 1)) / 86_400_000);
    case 'getHours':
      return BigInt(local.getUTCHours());
    case 'getMinutes':
      return BigInt(local.getUTCMinutes());
    case 'getSeconds':
      return BigInt(local.getUTCSeconds());
    default:
      return BigInt(local.getUTCMilliseconds());
  }
}

function offsetMs(at: Date, zone: string): number {
  const fixed = /^([+-]?)(\d\d):(\d\d)$/.exec(zone);
  if (fixed !== null) return (fixed[1] === '-' ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3])) * 60_000;
  const parts = new Intl.DateTimeFormat('en-US', { hourCycle: 'h23', timeZone: zone, year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' }).formatToParts(at);
  const part = (type: Intl.DateTimeFormatPartTypes) => Number(parts.find((one) => one.type === type)?.value);
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second')) - Math.floor(at.getTime() / 1000) * 1000;
}
