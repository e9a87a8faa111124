import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, parseCanonicalJson } from '#core';

const malformed = { code: 'malformed-document' };

test('a document is read in its one form only: no duplicate keys, spaces, other order, other numbers or other escapes', () => {
  assert.deepEqual(parseCanonicalJson(Buffer.from('{"a":1,"b":["ä"]}'), 'it'), { a: 1, b: ['ä'] });
  for (const text of ['{"a":1,"a":1}', '{"a":1,"a":2}', '{ "a":1}', '{"b":1,"a":2}', '{"a":1.0}', '{"a":1e2}', '{"a":9007199254740993}', '{"a":"\\u0061"}', '{"a":-0}', '\ufeff{"a":1}']) {
    assert.throws(() => parseCanonicalJson(Buffer.from(text), 'it'), malformed, text);
  }
});

test('what has no canonical form, nests too deep, or holds a name that readers lose is refused and never a crash', () => {
  for (const text of ['{"a":"\\ud800"}', '{"a":1e400}', '[1e999]', '"\\udfff"', `${'['.repeat(129)}${']'.repeat(129)}`, `${'['.repeat(100_000)}${']'.repeat(100_000)}`, '{"__proto__":1}']) {
    assert.throws(() => parseCanonicalJson(Buffer.from(text), 'it'), malformed, text.slice(0, 80));
  }
  assert.throws(() => canonicalJson({ a: Infinity }), malformed);
  assert.ok(parseCanonicalJson(Buffer.from(`${'['.repeat(128)}${']'.repeat(128)}`), 'it'));
});

test('a document past its limit is refused before it is read', () => {
  assert.throws(() => parseCanonicalJson(Buffer.from('{"a":1}'), 'it', 6), { ...malformed, message: /more than the 6 allowed/ });
  assert.throws(() => parseCanonicalJson(Buffer.from('{'), 'it'), { ...malformed, message: /not JSON/ });
});
