import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CairnError } from '#core';
import { parsePredicate, predicateTypes } from '#attest';

const subject = [{ name: 'shop', digest: { sha256: 'a'.repeat(64) } }];

test('a list of ten thousand wrong things is refused for its first, and the place of that is named', () => {
  const commits = [{ commit: 'c0ffee', subject: 'Say hello' }, ...Array.from({ length: 10_000 }, () => ({}))];
  assert.throws(() => parsePredicate('notes', { predicateType: predicateTypes.notes, subject, predicate: { since: null, commits } }), (error: unknown) => {
    assert.ok(error instanceof CairnError && error.code === 'malformed-document');
    assert.match(error.message, /commits\[1\]\.commit/);
    // Made for each of them, it would say how many more there are.
    assert.doesNotMatch(error.message, /more/);
    return true;
  });
});

test('a list of right things is read whole, with what more each of them says', () => {
  const components = Array.from({ length: 300 }, (_, at) => ({ name: `p${at}`, version: '1.0.0', extra: at }));
  const read = parsePredicate('sbom', { predicateType: predicateTypes.sbom, subject, predicate: { bomFormat: 'CycloneDX', components } });
  assert.deepEqual(read.components, components);
});
