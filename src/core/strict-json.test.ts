import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseStrictJson } from '#core';

const refused = (text: string | Uint8Array, reason: string, limit?: number) =>
  assert.throws(() => parseStrictJson(typeof text === 'string' ? Buffer.from(text) : text, 'it', limit), (error: { code?: string; context?: { reason?: string } }) => error.code === 'malformed-document' && error.context?.reason === reason, String(text).slice(0, 80));

test('a name that stands twice in one object is refused, at any depth and however it is spelled', () => {
  refused('{"a":1,"a":1}', 'duplicate-key');
  refused('{"a":1,"\\u0061":2}', 'duplicate-key');
  refused('[{"x":{"subject" : [], "y":"}", "subject":\n[1]}}]', 'duplicate-key');
  refused('{"a\\\\":1,"b":"\\\\\\"","a\\\\":2}', 'duplicate-key');
  refused('{"__proto__":1}', 'duplicate-key');
  assert.deepEqual(parseStrictJson(Buffer.from('[{"a":{"a":"a"}},{"a":"\\":"}]'), 'it'), [{ a: { a: 'a' } }, { a: '":' }]);
});

test('bytes that are not one JSON text in UTF-8 are refused', () => {
  for (const text of ['', '{', '{}x', '\ufeff{}', '{"a":01}', "{'a':1}"]) refused(text, 'not-json');
  refused(Buffer.from([0x22, 0xc3, 0x28, 0x22]), 'not-json');
});

test('what nests too deep or is too large is refused in bounded time', () => {
  refused(`${'['.repeat(65)}${']'.repeat(65)}`, 'too-deep');
  refused(`${'{"a":'.repeat(400_000)}1${'}'.repeat(400_000)}`, 'too-deep');
  refused(Buffer.alloc(130 << 20, 0x20), 'too-large');
  refused('{"a":1}', 'too-large', 6);
});

test('any other JSON reads as JSON.parse reads it', () => {
  fc.assert(fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
    const text = JSON.stringify(value);
    if (text.includes('__proto__')) return;
    assert.deepEqual(parseStrictJson(Buffer.from(text), 'it'), JSON.parse(text));
  }));
});
