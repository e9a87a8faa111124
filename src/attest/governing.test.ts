import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, type Digest } from '#core';
import { parsePredicate, predicateTypes, type PredicateName } from './predicates.ts';
import { makeStatement, parseStatement, subjectOf } from './statement.ts';

// Golden vectors of what several people say about releases, keys and packages: another digest here is another format.

const release: Digest = `sha256:${'a'.repeat(64)}`;
const other: Digest = `sha256:${'b'.repeat(64)}`;
const place = { application: 'shop', environment: 'production' };
const said = { by: 'sue', nonce: 'a nonce of ours', reason: 'CVE-2026-1' };
const key = Buffer.alloc(91, 7).toString('base64');

const statements: [PredicateName, Digest, object][] = [
  ['keyRevocation', digestOf(Buffer.from(key, 'base64')), { key, after: 12, ...said }],
  ['packageRevocation', digestOf('pkg:npm/left-pad@1.3.0'), { purl: 'pkg:npm/left-pad@1.3.0', ...said }],
  ['breakGlass', release, { ...place, ...said, expires: '2026-01-02T03:04:05Z' }],
  ['settlement', release, { ...place, breakGlass: other, ...said }],
  ['resolution', release, { incident: 26, action: 'resolve', by: 'sue', nonce: 'a nonce of ours', owner: 'bob', resolution: 'the disk was replaced' }],
];

test('statements of governance keep their bytes, and take no field that is not theirs', () => {
  const digests: Record<string, Digest> = {};
  for (const [name, subject, predicate] of statements) {
    const bytes = makeStatement({ predicateType: predicateTypes[name], subject: [subjectOf('shop', subject)], predicate });
    digests[name] = digestOf(bytes);
    assert.deepEqual(parsePredicate(name, parseStatement(bytes)), predicate);
    assert.throws(() => parsePredicate(name, { predicateType: predicateTypes[name], subject: [], predicate: { ...predicate, more: 1 } }), { code: 'malformed-document' });
    for (const field of Object.keys(predicate)) {
      const without = Object.fromEntries(Object.entries(predicate).filter(([one]) => one !== field));
      assert.throws(() => parsePredicate(name, { predicateType: predicateTypes[name], subject: [], predicate: without }), { code: 'malformed-document' }, `${name} without ${field}`);
    }
  }
  assert.deepEqual(digests, {
    keyRevocation: 'sha256:2db5c301f2510f7d599330fa9d69af96830a91adf017c55aaf8134f1c75faf31',
    packageRevocation: 'sha256:109286815d5b43ea3a2ec1d01d8d562f04c2432718bc9a2ade046e8c0c02fd6f',
    breakGlass: 'sha256:c3aa03c8940b230854db0963a4377e95446e8195e7c7fe86e5e2ee3b8254808d',
    settlement: 'sha256:0f8b775b7ce3fc5c49ac8dda8ed78ef8bf2e57852bc6863cf301d1e941fce1bd',
    resolution: 'sha256:ce6cb24ce8687cc72c943150ae9582b1a488ad2423f230ea6a1c4401a5d13436',
  });
});
