import { CairnError } from '#core';

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `10m`, or a time as RFC 3339 has it. @throws CairnError `usage` */
export function timeAgo(text: string, now: Date): Date {
  const [, number, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (number !== undefined) return new Date(now.getTime() - Number(number) * (units[unit] ?? 0) * 1000);
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new CairnError('usage', `"${text}" is no time`, { fix: 'Give it as 30s, 10m, 2h or 1d, or as 2026-01-02T03:04:05Z' });
  return new Date(time);
}
