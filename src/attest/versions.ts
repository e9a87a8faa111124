import { compare as comparePep440, valid as validPep440 } from '@renovatebot/pep440';
import semver from 'semver';

// How the ecosystems of OSV order their versions (ossf.github.io/osv-schema, "affected[].ranges[]"). An ecosystem that is not here is not
// guessed at: only the versions that an entry lists by name are matched.

/** Negative, 0 or positive; undefined where one of them is no version of that kind. */
export type Compare = (a: string, b: string) => number | undefined;

const bySemver: Compare = (a, b) => {
  const [left, right] = [semverOf(a), semverOf(b)];
  return left === null || right === null ? undefined : semver.compare(left, right);
};

const byPep440: Compare = (a, b) => (validPep440(a) === null || validPep440(b) === null ? undefined : comparePep440(a, b));

/** Go's own releases are `1.21` and `go1.21rc2` where modules are `v1.21.0`; nothing of a build tag orders them. */
function semverOf(text: string): semver.SemVer | null {
  const plain = text.replace(/^go(?=\d)/, '').replace(/^v/, '').replace(/^(\d+(?:\.\d+)?)(?=$|[-+]|rc|beta)/, (short) => `${short}${'.0'.repeat(3 - short.split('.').length)}`).replace(/^(\d+\.\d+\.\d+)(rc|beta)(\d+)$/, '$1-$2.$3');
  return semver.parse(plain);
}

/** purl type and order of an ecosystem, by its name before any colon. */
const ecosystems: Readonly<Record<string, { readonly type: string; readonly compare?: Compare }>> = {
  npm: { type: 'npm', compare: bySemver },
  Go: { type: 'golang', compare: bySemver },
  'crates.io': { type: 'cargo', compare: bySemver },
  Hex: { type: 'hex', compare: bySemver },
  Pub: { type: 'pub', compare: bySemver },
  SwiftURL: { type: 'swift', compare: bySemver },
  'GitHub Actions': { type: 'githubactions', compare: bySemver },
  PyPI: { type: 'pypi', compare: byPep440 },
  Maven: { type: 'maven' },
  NuGet: { type: 'nuget' },
  RubyGems: { type: 'gem' },
  Packagist: { type: 'composer' },
  Hackage: { type: 'hackage' },
  CRAN: { type: 'cran' },
  ConanCenter: { type: 'conan' },
  Alpine: { type: 'apk' },
  Debian: { type: 'deb' },
  Ubuntu: { type: 'deb' },
};

const byType = new Map(Object.entries(ecosystems).map(([name, { type }]) => [type, name]));

/** Of a range: `SEMVER` orders alike everywhere. */
export function orderOf(ecosystem: string, range: string): Compare | undefined {
  return range === 'SEMVER' ? bySemver : ecosystems[ecosystem.split(':')[0] ?? '']?.compare;
}

/** `npm` for `npm`, `Go` for `golang`. Systems whose packages have a distribution in their names are not told by the type alone. */
export function ecosystemOf(purlType: string): string | undefined {
  return purlType === 'deb' || purlType === 'apk' ? undefined : byType.get(purlType);
}

/** A package as purl; empty for an ecosystem that has none here. */
export function purlOf(ecosystem: string, name: string, version: string): string {
  const [system = '', release] = ecosystem.split(':');
  const type = ecosystems[system]?.type;
  if (type === undefined || name === '') return '';
  const parts = (type === 'maven' ? name.replace(':', '/') : normalName(system, name)).split('/');
  if (type === 'deb' || type === 'apk') parts.unshift(system.toLowerCase());
  const path = parts.map(encoded).join('/');
  return `pkg:${type}/${path}${version === '' ? '' : `@${encoded(version)}`}${release === undefined ? '' : `?distro=${encodeURIComponent(release.toWellFormed())}`}`;
}

/** Half a surrogate pair, which a report may hold, has no encoding. */
function encoded(part: string): string {
  return encodeURIComponent(part.toWellFormed()).replaceAll('%3A', ':');
}

/** The one spelling of a name: PyPI's are equal whatever stands between their parts. */
export function normalName(ecosystem: string, name: string): string {
  return ecosystem === 'PyPI' ? name.toLowerCase().replaceAll(/[-_.]+/g, '-') : name;
}
