import type { Matcher, ownScan } from './osv-match.ts';

/** What a scan by ourselves takes; loaded only by who scans, since what compares versions takes its time to load. */
export async function openScanner(purls: readonly string[]): Promise<{ readonly matcher: Matcher; readonly predicate: typeof ownScan }> {
  const { openMatcher, ownScan: predicate } = await import('./osv-match.ts');
  return { matcher: openMatcher(purls), predicate };
}
