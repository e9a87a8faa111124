import { distanceOf, type Distance } from './versions.ts';

export interface PackageChange {
  readonly name: string;
  /** Null: it was not there. */
  readonly from: string | null;
  /** Null: it is not there any more. */
  readonly to: string | null;
  readonly distance: Distance | 'added' | 'removed';
  /** To an older version. */
  readonly back: boolean;
}

interface Named {
  readonly name: string;
  readonly version: string;
}

/** A name may stand there in several versions. Where one went and one came, that is a change of version. */
export function diffPackages(before: readonly Named[], after: readonly Named[]): PackageChange[] {
  const [a, b] = [versionsByName(before), versionsByName(after)];
  const names = [...new Set([...a.keys(), ...b.keys()])].toSorted();
  return names.flatMap((name) => {
    const gone = [...(a.get(name) ?? [])].filter((version) => b.get(name)?.has(version) !== true).toSorted();
    const come = [...(b.get(name) ?? [])].filter((version) => a.get(name)?.has(version) !== true).toSorted();
    const [from] = gone;
    const [to] = come;
    if (gone.length === 1 && come.length === 1 && from !== undefined && to !== undefined) return [{ name, from, to, ...distanceOf(from, to) }];
    return [
      ...gone.map((version): PackageChange => ({ name, from: version, to: null, distance: 'removed', back: false })),
      ...come.map((version): PackageChange => ({ name, from: null, to: version, distance: 'added', back: false })),
    ];
  });
}

function versionsByName(packages: readonly Named[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { name, version } of packages) found.set(name, (found.get(name) ?? new Set()).add(version));
  return found;
}
