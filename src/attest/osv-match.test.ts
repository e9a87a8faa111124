import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CairnError } from '#core';
import { openMatcher, type Matched } from './osv-match.ts';
import { scoreOf } from './cvss.ts';

interface Entry {
  readonly id: string;
  readonly [more: string]: unknown;
}
const about = (ecosystem: string, name: string, more: object) => ({ affected: [{ package: { ecosystem, name }, ...more }] });
const range = (type: string, ...events: object[]) => ({ ranges: [{ type, events }] });

function match(purls: string[], ...entries: Entry[]): Matched {
  const matcher = openMatcher(purls);
  for (const one of entries) matcher.add(Buffer.from(JSON.stringify(one)), `${one.id}.json`);
  return matcher.result();
}
const hits = (purl: string, ...entries: Entry[]) => match([purl], ...entries).found.map(({ id, fixed }) => `${id} ${fixed}`);

test('a version is affected from introduced until fixed, and after last_affected no more', () => {
  const entry = { id: 'A', ...about('npm', 'ms', range('SEMVER', { introduced: '0' }, { fixed: '1.2.0' }, { introduced: '2.0.0-rc.1' }, { last_affected: '2.1.0' })) };
  for (const [version, hit] of Object.entries({ '0.0.1': true, '1.1.9': true, '1.2.0-beta': true, '1.2.0': false, '1.9.0': false, '2.0.0-rc.1': true, '2.1.0': true, '2.1.1': false })) {
    assert.equal(hits(`pkg:npm/ms@${version}`, entry).length, hit ? 1 : 0, version);
  }
  assert.deepEqual(hits('pkg:npm/ms@1.0.0', entry), ['A 1.2.0']);
  assert.deepEqual(hits('pkg:npm/ms@2.0.5', entry), ['A null']);
});

test('names and versions are those of the ecosystem', () => {
  assert.equal(hits('pkg:npm/%40babel/core@7.0.0', { id: 'A', ...about('npm', '@babel/core', range('SEMVER', { introduced: '0' })) }).length, 1);
  assert.equal(hits('pkg:golang/golang.org/x/net@v0.20.0', { id: 'A', ...about('Go', 'golang.org/x/net', range('SEMVER', { introduced: '0' }, { fixed: '0.23.0' })) }).length, 1);
  assert.equal(hits('pkg:golang/std@1.22', { id: 'A', ...about('Go', 'stdlib', range('SEMVER', { introduced: '0' }, { fixed: '1.22.1' })) }).length, 1);
  assert.equal(hits('pkg:golang/std@1.22.0-rc.1', { id: 'A', ...about('Go', 'stdlib', range('SEMVER', { introduced: '1.22.0' })) }).length, 0);
  assert.equal(hits('pkg:pypi/zope-interface@5.0.dev1', { id: 'A', ...about('PyPI', 'Zope.Interface', range('ECOSYSTEM', { introduced: '0' }, { fixed: '5.0' })) }).length, 1);
  assert.equal(hits('pkg:pypi/django@4.2', { id: 'A', ...about('PyPI', 'django', range('ECOSYSTEM', { introduced: '4.0' }, { fixed: '4.2' })) }).length, 0);
  assert.equal(hits('pkg:npm/ms@1.0.0', { id: 'A', ...about('PyPI', 'ms', range('ECOSYSTEM', { introduced: '0' })) }).length, 0, 'another ecosystem');
});

test('versions that are listed count where nobody can order them, and others are said not to be compared', () => {
  const maven = { id: 'A', ...about('Maven', 'org.x:y', { versions: ['1.0'], ...range('ECOSYSTEM', { introduced: '0' }, { fixed: '2.0' }) }) };
  assert.equal(hits('pkg:maven/org.x/y@1.0', maven).length, 1);
  const other = match(['pkg:maven/org.x/y@1.5'], maven);
  assert.deepEqual([other.found, other.uncompared], [[], [{ package: 'pkg:maven/org.x/y@1.5', id: 'A' }]]);
  const git = match(['pkg:npm/ms@github:vercel%2Fms'], { id: 'A', ...about('npm', 'ms', range('SEMVER', { introduced: '0' })) });
  assert.equal(git.uncompared.length, 1);
  assert.deepEqual(match(['pkg:generic/node@26.0.0', 'no purl']).unknown, ['no purl', 'pkg:generic/node@26.0.0']);
});

test('withdrawn entries are ignored, and ranges of commits say nothing of a version', () => {
  assert.deepEqual(hits('pkg:npm/ms@1.0.0', { id: 'A', withdrawn: '2026-01-01T00:00:00Z', ...about('npm', 'ms', range('SEMVER', { introduced: '0' })) }), []);
  assert.deepEqual(hits('pkg:npm/ms@1.0.0', { id: 'A', ...about('npm', 'ms', range('GIT', { introduced: '0' })) }), []);
});

test('entries that are aliases are one vulnerability, as bad as the worst of them', () => {
  const part = about('npm', 'ms', range('SEMVER', { introduced: '0' }, { fixed: '2.0.0' }));
  const { found } = match(['pkg:npm/ms@1.0.0'],
    { id: 'GHSA-1', aliases: ['CVE-1'], database_specific: { severity: 'HIGH' }, ...part },
    { id: 'CVE-1', severity: [{ type: 'CVSS_V3', score: 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H' }], ...part },
    { id: 'SNYK-1', aliases: ['GHSA-1'], ...part }, { id: 'OTHER', ...part });
  assert.deepEqual(found.map(({ id, aliases, severity, score, fixed }) => ({ id, aliases, severity, score, fixed })).toSorted((a, b) => (a.id < b.id ? -1 : 1)), [
    { id: 'CVE-1', aliases: ['GHSA-1', 'SNYK-1'], severity: 'critical', score: 9.8, fixed: '2.0.0' },
    { id: 'OTHER', aliases: [], severity: 'unknown', score: null, fixed: '2.0.0' },
  ]);
});

test('a file that is cut off or no entry is refused: it would find less than there is', () => {
  for (const text of ['', '{"id":"A"', '[]', 'null', '{"affected":[]}']) {
    assert.throws(() => openMatcher([]).add(Buffer.from(text), 'a.json'), (error: CairnError) => error.code === 'malformed-document', text);
  }
});

test('what is found does not depend on the order of entries or packages', () => {
  const entries: Entry[] = ['A', 'B', 'C', 'D'].map((id, at) => ({ id, aliases: at % 2 === 0 ? ['X'] : [], ...about('npm', at < 2 ? 'ms' : 'qs', range('SEMVER', { introduced: '0' }, { fixed: `${at}.5.0` })) }));
  const purls = ['pkg:npm/ms@0.1.0', 'pkg:npm/qs@0.2.0', 'pkg:npm/ms@1.1.0'];
  const sorted = (result: Matched) => JSON.stringify([result.found.toSorted((a, b) => (a.package + a.id < b.package + b.id ? -1 : 1)), result.uncompared, result.unknown]);
  const wanted = sorted(match(purls, ...entries));
  fc.assert(fc.property(fc.shuffledSubarray(entries, { minLength: 4 }), fc.shuffledSubarray(purls, { minLength: 3 }), (some, of) => sorted(match(of, ...some)) === wanted), { numRuns: 50 });
});

test('a range holds a version exactly if it lies between its events', () => {
  const version = fc.tuple(fc.nat(5), fc.nat(5), fc.nat(5)).map((parts) => parts.join('.'));
  const value = (text: string) => text.split('.').reduce((sum, part) => sum * 10 + Number(part), 0);
  fc.assert(fc.property(version, version, version, (from, to, at) => {
    const hit = hits(`pkg:npm/ms@${at}`, { id: 'A', ...about('npm', 'ms', range('SEMVER', { fixed: to }, { introduced: from })) }).length > 0;
    // What is introduced where something is fixed came back with it.
    assert.equal(hit, value(at) >= value(from) && (value(from) >= value(to) || value(at) < value(to)));
  }), { numRuns: 300 });
});

test('scores are those of FIRST, and half a vector has none', () => {
  const of = (vector: string) => [scoreOf(vector)?.score, scoreOf(vector)?.severity];
  assert.deepEqual(of('CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H'), [9.8, 'critical']);
  assert.deepEqual(of('CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:N/I:L/A:N'), [3.1, 'low']);
  assert.deepEqual(of('CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N'), [9.3, 'critical']);
  assert.deepEqual(of('CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N'), [0, 'none']);
  assert.deepEqual(of('AV:N/AC:L/Au:N/C:C/I:C/A:C'), [10, 'high']);
  for (const bad of ['CVSS:3.1/AV:N', 'CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N', 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:Q', 'CVSS:5.0/AV:N', '9.8', '', `CVSS:3.1/${'AV:N/'.repeat(200)}`]) assert.equal(scoreOf(bad), undefined, bad);
});
