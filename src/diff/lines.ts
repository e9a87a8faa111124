export interface LineCount {
  readonly added: number;
  readonly removed: number;
}

/** Above this many differences they are not counted one by one: the work grows with their square. */
const mostDifferences = 4000;

/**
 * How many lines came and went, by the shortest edit script (Myers, "An O(ND) Difference Algorithm", 1986). Only its length is
 * needed: with the difference of the two lengths it gives both numbers. Null where they differ in too much.
 */
export function countLines(before: string, after: string): LineCount | null {
  let [a, b] = [linesOf(before), linesOf(after)];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  [a, b] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  const length = editLength(a, b);
  return length === null ? null : { added: (length + b.length - a.length) / 2, removed: (length + a.length - b.length) / 2 };
}

export function linesOf(text: string): string[] {
  if (text === '') return [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function editLength(a: readonly string[], b: readonly string[]): number | null {
  const most = a.length + b.length;
  if (a.length === 0 || b.length === 0) return most;
  /** Furthest place in `a` on each diagonal. */
  const furthest = new Map<number, number>([[1, 0]]);
  for (let length = 0; length <= Math.min(most, mostDifferences); length++) {
    for (let diagonal = -length; diagonal <= length; diagonal += 2) {
      const down = diagonal === -length || (diagonal !== length && (furthest.get(diagonal - 1) ?? 0) < (furthest.get(diagonal + 1) ?? 0));
      let x = down ? (furthest.get(diagonal + 1) ?? 0) : (furthest.get(diagonal - 1) ?? 0) + 1;
      while (x < a.length && x - diagonal < b.length && a[x] === b[x - diagonal]) x++;
      furthest.set(diagonal, x);
      if (x >= a.length && x - diagonal >= b.length) return length;
    }
  }
  return null;
}
