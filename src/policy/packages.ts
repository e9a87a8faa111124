import { createRequire } from 'node:module';
import type { PackageURL } from 'packageurl-js';
import type { Judged } from './decide.ts';
import type { BilledPackage, Evidence } from './evidence.ts';
import { fail } from './result.ts';

// Package URLs name one package in many ways; compared is the canonical form. Qualifiers and subpath are left out: a package that was
// revoked is revoked on every platform.

const identities = new WeakMap<readonly BilledPackage[], ReadonlyMap<string, BilledPackage>>();

// Loaded where it is used: most of what reads a policy compares no package.
let loaded: typeof PackageURL | undefined;
function packageUrl(): typeof PackageURL {
  loaded ??= (createRequire(import.meta.url)('packageurl-js') as { readonly PackageURL: typeof PackageURL }).PackageURL;
  return loaded;
}

/** `pkg:npm/left-pad@1.3.0`, or without the version. @returns undefined where it is no package URL */
export function packageIdentity(purl: string): { readonly package: string; readonly version: string | null } | undefined {
  try {
    const Url = packageUrl();
    const { type, namespace, name, version } = Url.fromString(purl);
    return { package: new Url(type, namespace, name, undefined, undefined, undefined).toString(), version: version ?? null };
  } catch {
    return undefined;
  }
}

/** The package of the bill that the revoked package URL names; undefined where none is. */
export function findPackage(packages: readonly BilledPackage[], revoked: string): BilledPackage | undefined {
  const wanted = packageIdentity(revoked);
  if (wanted === undefined) return packages.find(({ purl }) => purl === revoked);
  return identitiesOf(packages).get(wanted.version === null ? wanted.package : `${wanted.package}@${wanted.version}`);
}

/** Canonicalising a thousand package URLs takes longer than all else in a decision: done once for each bill that is kept. */
function identitiesOf(packages: readonly BilledPackage[]): ReadonlyMap<string, BilledPackage> {
  const known = identities.get(packages);
  if (known !== undefined) return known;
  const found = new Map<string, BilledPackage>();
  for (const one of packages) {
    const identity = packageIdentity(one.purl);
    if (identity === undefined) continue;
    found.set(identity.package, one);
    // Where the URL has no version the bill's own field may have one.
    found.set(`${identity.package}@${identity.version ?? one.version}`, one);
  }
  identities.set(packages, found);
  return found;
}

/**
 * Binds both ways, as the revocation of a release does: what a package was revoked for does not go away by going back. Every bill of
 * materials counts against the release, whoever signed it: one too many stops a promotion, one too few would not.
 */
export function judgePackages(evidence: Evidence): Judged[] {
  const failed: Judged[] = [];
  for (const { purl, by, reason } of evidence.revokedPackages) {
    for (const { says, envelope } of evidence.statements) {
      const found = says.kind === 'sbom' ? findPackage(says.packages, purl) : undefined;
      if (found === undefined) continue;
      failed.push(fail('no-revoked-package', `contains ${found.purl}, which ${by} revoked: ${reason}`, { blocksRollback: true }, {
        nearest: null, fix: 'Take another version of the package, commit, and run: cairn release', cause: 'unmet', evidence: [envelope],
      }));
      break;
    }
  }
  return failed;
}
