import { predicateTypes } from './predicates.ts';
import type { Statement, Subject } from './statement.ts';

export interface BillPackage {
  readonly purl: string;
  readonly name: string;
  readonly version: string;
  /** Hex by name of the algorithm. */
  readonly digest: Readonly<Record<string, string>>;
  readonly license?: string | undefined;
  readonly dependsOn?: readonly string[];
  /** `platform`: what carries the application, such as Node. */
  readonly type?: 'library' | 'platform';
}

export interface BillInput {
  /** The release's components: whoever sees an image finds the bill of it. */
  readonly subject: readonly Subject[];
  readonly application: string;
  readonly commit: string;
  readonly packages: readonly BillPackage[];
  /** purls of what the application itself needs. */
  readonly direct: readonly string[];
  /** Cairn's. */
  readonly version: string;
}

/**
 * CycloneDX 1.6 (cyclonedx.org/docs/1.6/json). No serial number and no time: the same release has the same bill, which its
 * statement binds to the digests.
 */
export function billOfMaterials(input: BillInput): Statement {
  const root = `pkg:generic/${input.application}@${input.commit}`;
  const packages = [...input.packages].toSorted((a, b) => (a.purl < b.purl ? -1 : a.purl > b.purl ? 1 : 0));
  const known = new Set(packages.map(({ purl }) => purl));
  const dependsOn = (purls: readonly string[]) => purls.filter((purl) => known.has(purl)).toSorted();
  const carriers = packages.filter(({ type }) => type === 'platform').map(({ purl }) => purl);
  return {
    predicateType: predicateTypes.sbom,
    subject: input.subject,
    predicate: {
      $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
      bomFormat: 'CycloneDX',
      specVersion: '1.6',
      version: 1,
      metadata: {
        lifecycles: [{ phase: 'build' }],
        tools: { components: [{ type: 'application', name: 'cairn', version: input.version }] },
        component: { type: 'application', 'bom-ref': root, name: input.application, version: input.commit, purl: root },
      },
      components: packages.map(componentOf),
      dependencies: [
        { ref: root, dependsOn: dependsOn([...new Set([...input.direct, ...carriers])]) },
        ...packages.map(({ purl, dependsOn: needs = [] }) => ({ ref: purl, dependsOn: dependsOn(needs) })),
      ],
    },
  };
}

function componentOf({ purl, name, version, digest, license, type = 'library' }: BillPackage): object {
  const [, group, rest] = /^(@[^/]+)\/(.+)$/.exec(name) ?? [undefined, undefined, name];
  const hashes = Object.entries(digest).flatMap(([algorithm, content]) =>
    algorithms[algorithm] === undefined ? [] : [{ alg: algorithms[algorithm], content }],
  );
  return {
    type,
    'bom-ref': purl,
    ...(group !== undefined && { group }),
    name: rest,
    version,
    purl,
    ...(type === 'library' && { scope: 'required' }),
    ...(hashes.length > 0 && { hashes }),
    ...(license !== undefined && license !== '' && { licenses: [licenseOf(license)] }),
  };
}

/** A module's dirHash1 is a SHA-256 over the list of its files; tools for Go write it as such. */
const algorithms: Readonly<Record<string, string>> = { sha1: 'SHA-1', sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512', dirHash1: 'SHA-256' };

/** Of SPDX's list, so far as `id` may only hold what is on it: the common ones. Another may still be an expression. */
const listed = new Set(
  (
    '0BSD AFL-2.1 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BlueOak-1.0.0 CC-BY-3.0 CC-BY-4.0 CC0-1.0 GPL-2.0-only ' +
    'GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1-only LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-2.0 Python-2.0 Unlicense WTFPL Zlib'
  ).split(' '),
);

function licenseOf(text: string): object {
  if (listed.has(text)) return { license: { id: text } };
  const token = String.raw`\(*[A-Za-z0-9][A-Za-z0-9.+-]*\)*`;
  const isExpression = new RegExp(`^${token}(?: (?:AND|OR|WITH) ${token})+$`).test(text);
  return isExpression ? { expression: text } : { license: { name: text } };
}
