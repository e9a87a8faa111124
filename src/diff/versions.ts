export type Distance = 'major' | 'minor' | 'patch' | 'prerelease' | 'other';

const form = /^v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/;

/** How far two versions are apart (semver.org, items 2 to 11): the most significant part that differs, and whether it goes back. */
export function distanceOf(from: string, to: string): { distance: Distance; back: boolean } {
  const [a, b] = [form.exec(from), form.exec(to)];
  if (a === null || b === null) return { distance: 'other', back: false };
  const parts = ['major', 'minor', 'patch'] as const;
  for (const [at, distance] of parts.entries()) {
    const [x, y] = [Number(a[at + 1]), Number(b[at + 1])];
    if (x !== y) return { distance, back: x > y };
  }
  if (a[4] === b[4]) return { distance: 'other', back: false };
  return { distance: 'prerelease', back: comparePrerelease(a[4], b[4]) > 0 };
}

/** Item 11: none is newest; identifiers one by one, numbers below words. */
function comparePrerelease(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1;
  const [left, right] = [a.split('.'), b.split('.')];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const [x, y] = [left[at], right[at]];
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1;
    if (x === y) continue;
    const [n, m] = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (n && m) return Number(x) - Number(y);
    if (n !== m) return n ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return 0;
}
