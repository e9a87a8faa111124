import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CairnError, digestOf } from '#core';
import { emptyBytes, emptyDescriptor, isIndex, manifestLimit, mediaTypes, parseManifest } from '#oci';
import { descriptorOf, json } from './fixture.ts';

const manifest = {
  schemaVersion: 2,
  mediaType: mediaTypes.imageManifest,
  artifactType: 'application/vnd.example+json',
  config: emptyDescriptor,
  layers: [{ ...emptyDescriptor, annotations: { Size: 'as you like' }, platform: { os: 'linux', architecture: 'arm64' } }],
  annotations: { 'org.opencontainers.image.created': '1980-01-01T00:00:00Z' },
};
const index = { schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests: [descriptorOf(emptyBytes, mediaTypes.imageManifest)] };
const malformed = { code: 'malformed-document' };

test('the empty descriptor describes the empty object', () => {
  assert.equal(emptyDescriptor.digest, digestOf(emptyBytes));
  assert.equal(emptyDescriptor.size, emptyBytes.byteLength);
});

test('a manifest and an index are read as what they are, frozen, without the fields nobody knows', () => {
  assert.deepEqual(parseManifest(json({ ...manifest, config: { ...emptyDescriptor, data: 'e30=' }, new: 1 })), manifest);
  const parsed = parseManifest(json(index), mediaTypes.imageIndex);
  assert.ok(isIndex(parsed) && Object.isFrozen(parsed) && Object.isFrozen(parsed.manifests));
});

test('a document without a media type takes that of its content type, or of its form', () => {
  const { mediaType: _, ...bare } = manifest;
  assert.equal(parseManifest(json(bare), mediaTypes.dockerManifest).mediaType, mediaTypes.dockerManifest);
  assert.equal(parseManifest(json(bare)).mediaType, mediaTypes.imageManifest);
  assert.throws(() => parseManifest(json(bare), mediaTypes.imageIndex), malformed);
});

const refused: Record<string, string> = {
  'a manifest that is an index too': JSON.stringify({ ...manifest, manifests: [] }),
  'an index that is a manifest too': JSON.stringify({ ...index, layers: [] }),
  'an upper-case digest': JSON.stringify({ ...manifest, config: { ...emptyDescriptor, digest: emptyDescriptor.digest.toUpperCase() } }),
  'a negative size': JSON.stringify({ ...manifest, config: { ...emptyDescriptor, size: -1 } }),
  'a size past exact numbers': JSON.stringify({ ...manifest, config: { ...emptyDescriptor, size: 2 ** 60 } }),
  'an annotation that is no text': JSON.stringify({ ...manifest, annotations: { a: 1 } }),
  'schema version 1': JSON.stringify({ ...manifest, schemaVersion: 1 }),
  'another media type': JSON.stringify({ ...manifest, mediaType: 'application/json' }),
  'two equal keys': `{"layers":[],${JSON.stringify(manifest).slice(1)}`,
  'two equal keys, one escaped': `{"l\\u0061yers":[],${JSON.stringify(manifest).slice(1)}`,
  'a field in another spelling': JSON.stringify({ ...manifest, Layers: [] }),
  'a field with a long s': JSON.stringify({ ...manifest, 'layer\u017f': [] }),
  'a list': '[]',
  'no JSON': 'cairn',
};
for (const [what, text] of Object.entries(refused)) {
  test(`${what} is refused`, () => assert.throws(() => parseManifest(Buffer.from(text)), malformed));
}

test('what is too long, too deep or not UTF-8 is refused', () => {
  assert.throws(() => parseManifest(Buffer.alloc(manifestLimit + 1, 0x20)), malformed);
  assert.throws(() => parseManifest(Buffer.from(`{"a":${'['.repeat(40)}${']'.repeat(40)}}`)), malformed);
  assert.throws(() => parseManifest(Buffer.from(JSON.stringify(manifest).replace('vnd', '\u00ff'), 'latin1')), malformed);
});

test('whatever comes, parsing returns a document or says malformed-document', () => {
  const field = fc.constantFrom(...Object.keys(manifest), 'manifests', 'subject', 'Subject');
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(2, [], emptyDescriptor, mediaTypes.imageIndex));
  const document = fc.oneof(
    fc.dictionary(field, value).map((changes) => JSON.stringify({ ...manifest, ...changes })),
    fc.json(),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(document, (text) => {
      try {
        const parsed = parseManifest(Buffer.from(text));
        // What was accepted means the same when it is written again.
        assert.deepEqual(parseManifest(json(parsed)), parsed);
      } catch (error) {
        if (!(error instanceof CairnError) || error.code !== 'malformed-document') throw error;
      }
    }),
    { numRuns: 500 },
  );
});
