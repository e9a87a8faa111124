import assert from 'node:assert/strict';
import { test } from 'node:test';
import { billOfMaterials, makeStatement, parsePredicate, parseStatement, releaseNotes, subjectOf, testResult, type BillInput } from '#attest';
import { digestOf, type Digest } from '#core';

const a: Digest = `sha256:${'a'.repeat(64)}`;
const input: BillInput = {
  subject: [subjectOf('web', a)],
  application: 'shop',
  commit: 'c0ffee'.padEnd(40, '0'),
  version: '0.1.0',
  direct: ['pkg:npm/%40acme/basket@1.0.0', 'pkg:npm/dev-only@1.0.0'],
  packages: [
    { purl: 'pkg:npm/ms@2.1.3', name: 'ms', version: '2.1.3', digest: { sha512: 'ab' }, license: 'MIT', dependsOn: [] },
    {
      purl: 'pkg:npm/%40acme/basket@1.0.0',
      name: '@acme/basket',
      version: '1.0.0',
      digest: { sha1: 'cd', gitCommit: 'ef' },
      license: '(MIT OR Apache-2.0)',
      dependsOn: ['pkg:npm/ms@2.1.3', 'pkg:npm/elsewhere@1.0.0'],
    },
    { purl: 'pkg:golang/example.com/x@v1.0.0', name: 'example.com/x', version: 'v1.0.0', digest: { dirHash1: '01' }, license: 'SEE LICENSE IN license.txt' },
    { type: 'platform', purl: 'pkg:generic/node@26.10.0', name: 'node', version: '26.10.0', digest: { sha256: '02' } },
  ],
};

// The form was once held against CycloneDX's own schema, 1.6 and strict: what is pinned here passed it.
test('the bill of materials has these bytes, in whatever order the packages come', () => {
  const made = makeStatement(billOfMaterials(input));
  assert.equal(digestOf(made), 'sha256:6ed39fd2d5e958c503444ada78ea1de307c74b5fb0b065190e06d1a655673c02');
  assert.deepEqual(makeStatement(billOfMaterials({ ...input, packages: input.packages.toReversed(), direct: input.direct.toReversed() })), made);
});

test('a bill names each package with hashes, licence and what it needs of the others, and nothing that would differ from run to run', () => {
  const { components, dependencies, serialNumber, metadata } = billOfMaterials(input).predicate as {
    components: object[];
    dependencies: { ref: string; dependsOn: string[] }[];
    serialNumber?: string;
    metadata: object;
  };
  assert.deepEqual(components[2], {
    type: 'library',
    'bom-ref': 'pkg:npm/%40acme/basket@1.0.0',
    group: '@acme',
    name: 'basket',
    version: '1.0.0',
    purl: 'pkg:npm/%40acme/basket@1.0.0',
    scope: 'required',
    hashes: [{ alg: 'SHA-1', content: 'cd' }],
    licenses: [{ expression: '(MIT OR Apache-2.0)' }],
  });
  const licences = components.map((one) => (one as { licenses?: object[] }).licenses?.[0]);
  assert.deepEqual(licences, [
    undefined,
    { license: { name: 'SEE LICENSE IN license.txt' } },
    { expression: '(MIT OR Apache-2.0)' },
    { license: { id: 'MIT' } },
  ]);
  assert.deepEqual(dependencies[0]?.dependsOn, ['pkg:generic/node@26.10.0', 'pkg:npm/%40acme/basket@1.0.0']);
  assert.deepEqual(dependencies.find(({ ref }) => ref.includes('basket'))?.dependsOn, ['pkg:npm/ms@2.1.3']);
  assert.equal(serialNumber, undefined);
  assert.ok(!('timestamp' in metadata));
});

test('bill, test result and notes are read back as the gate reads them', () => {
  const bill = parsePredicate('sbom', parseStatement(makeStatement(billOfMaterials(input))));
  assert.equal(bill.components.length, 4);
  const tests = parsePredicate('tests', parseStatement(makeStatement(testResult({ subject: [subjectOf('shop', a)], stages: a, passed: 41, failed: 0 }))));
  assert.deepEqual([tests.result, tests['https://cairn.internal/tests/v1']], ['PASSED', { passed: 41, failed: 0 }]);
  const uncounted = parsePredicate(
    'tests',
    parseStatement(makeStatement(testResult({ subject: [subjectOf('shop', a)], stages: a, passed: null, failed: null }))),
  );
  assert.deepEqual(uncounted['https://cairn.internal/tests/v1'], { passed: null, failed: null });
  const notes = parsePredicate(
    'notes',
    parseStatement(
      makeStatement(releaseNotes({ subject: subjectOf('shop', a), since: null, commits: [{ commit: 'c0ffee', subject: 'Add basket', author: 'Ada' }] })),
    ),
  );
  assert.deepEqual(
    notes.commits.map(({ subject }) => subject),
    ['Add basket'],
  );
});
