import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { importReport, makeStatement, parsePredicate, parseStatement, predicateTypes, subjectOf, type PredicateName } from '#attest';
import { digestOf } from '#core';
import { decide } from '#policy';
import { saysOf } from '../../src/release/says.ts';
import { component, evidence, policyOf, question, release, statement as weighed } from '../../src/policy/fixture.ts';
import { corpus, type Parser } from './engine.ts';
import { hold } from './known.ts';

// What a signer whom the policy knows may say: it is signed, and still written by somebody who wants something. From the statement's bytes to
// the decision that rests on it.

const folder = join(import.meta.dirname, '../fixtures/reports');
const reports = await Promise.all(['node.xml', 'semgrep.sarif', 'osv-scanner.json', 'npm.cdx.json', 'npm.spdx.json'].map((name) => importReport(name, readFileSync(join(folder, name)))));
const subject = [subjectOf('shop', release), subjectOf('web', component)];
const glass = { application: 'shop', environment: 'production', by: 'ada', nonce: '0123456789', reason: 'customers cannot pay', expires: '2026-12-02T03:04:05Z' };
const made = [
  ...reports.map(({ predicateType, predicate }) => makeStatement({ predicateType, subject, predicate })),
  makeStatement({ predicateType: predicateTypes.breakGlass, subject, predicate: glass }),
  makeStatement({ predicateType: predicateTypes.sbom, subject, predicate: { bomFormat: 'CycloneDX', specVersion: '1.6', components: [{ type: 'library', name: 'a', version: '1', purl: 'pkg:npm/a@1', licenses: [{ license: { id: 'MIT' } }, { expression: 'ISC' }], components: [{ name: 'b' }] }] } }),
  makeStatement({ predicateType: predicateTypes.spdx, subject, predicate: { spdxVersion: 'SPDX-2.3', packages: [{ name: 'a', versionInfo: '1', licenseConcluded: 'MIT', externalRefs: [{ referenceType: 'purl', referenceLocator: 'pkg:npm/a@1' }] }] } }),
  makeStatement({ predicateType: predicateTypes.scan, subject, predicate: { scanner: { uri: 'osv', result: [{ id: 'CVE-1', severity: [{ method: 'CVSS_V3', score: 9.8 }], annotations: [{ package: 'pkg:npm/a@1', fixed: '2' }] }] }, metadata: { scanFinishedOn: '2026-03-04T10:00:00Z' } } }),
  makeStatement({ predicateType: predicateTypes.foreign, subject, predicate: { form: 'bundle', bundle: '{}' } }),
  makeStatement({ predicateType: predicateTypes.keyRevocation, subject: [subjectOf('key', digestOf('key'))], predicate: { key: 'YWRh', after: null, by: 'sue', nonce: '0123456789', reason: 'lost' } }),
  makeStatement({ predicateType: predicateTypes.packageRevocation, subject: [subjectOf('package', digestOf('pkg:npm/a@1'))], predicate: { purl: 'pkg:npm/a@1', by: 'sue', nonce: '0123456789', reason: 'CVE' } }),
];
const policy = policyOf([
  { kind: 'provenance', role: 'builder', blocksRollback: false }, { kind: 'sbom', blocksRollback: false }, { kind: 'tests', role: 'builder', blocksRollback: false }, { kind: 'approvals', role: 'release', threshold: 1, blocksRollback: false },
  { kind: 'cel', name: 'licences', expression: "packages.all(p, p.licenses.all(l, l != 'GPL-3.0-only') && p.name != 'left-pad')", blocksRollback: false },
  { kind: 'cel', name: 'scanned', expression: "scans.exists(s, now - s.finished < duration('24h')) && vulnerabilities.all(v, v.rank < 4) && findings.all(f, f.level != 'error')", blocksRollback: false },
]);
const names = Object.keys(predicateTypes) as PredicateName[];
const revokedPackages = [{ purl: 'pkg:npm/b', by: 'sue', reason: 'CVE' }];

export const saysParsers: readonly Parser[] = [
  {
    name: 'says', corpus: [...corpus('statement'), ...made], milliseconds: 800,
    run: (bytes) => {
      const statement = parseStatement(bytes);
      for (const name of names) if (predicateTypes[name] === statement.predicateType) parsePredicate(name, statement);
      const says = saysOf(statement);
      if (says === undefined) return;
      hold(says.kind !== 'sbom' || says.packages.every((one) => [one.purl, one.name, one.version, ...one.licenses].every((text) => typeof text === 'string')), 'a package is described by what is no text');
      const { rules } = decide(policy, { ...evidence, revokedPackages, statements: [weighed('ada', says)] }, question);
      hold(rules.length >= policy.environments.length, 'a decision without rules');
    },
  },
];
