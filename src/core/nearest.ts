/** What helps whoever wrote a name that is not known: the nearest one, or all. */
export function hintFor(name: string, known: readonly string[], what = 'Known'): string {
  const nearest = nearestName(name, known);
  return nearest === undefined || nearest === name ? `${what}: ${known.join(', ')}` : `Did you mean "${nearest}"?`;
}

/** The known name that a misspelt one most likely means; undefined where none is near. */
export function nearestName(key: string, known: readonly string[]): string | undefined {
  const rated = [...new Set(known)]
    .map((one) => ({ one, distance: editDistance(key.toLowerCase(), one.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance);
  const limit = key.length <= 4 ? 2 : 3;
  return rated[0] !== undefined && rated[0].distance <= limit ? rated[0].one : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length] ?? 0;
}
