import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { pae } from '#attest';
import { canonicalJson, digestOf } from '#core';
import { mediaTypes } from '#oci';
import { generateSigner, spkiOf } from '#sign';
import { readForeign, seedRoot, type ForeignSaid } from '#verify';
import { bundleIn, legacyIn } from '#server';
import { openMatcher } from '../../src/attest/osv-match.ts';
import type { Parser } from './engine.ts';
import { hold } from './known.ts';

// What strangers may attach beside a release, in the old forms and the new one, and what a database of vulnerabilities holds.

const signer = generateSigner('ecdsa');
const options = { roots: [seedRoot()], keys: [spkiOf(signer.publicKey).toString('base64')] };
const about = digestOf('image');
const type = 'application/vnd.in-toto+json';
const payload = Buffer.from(JSON.stringify({ _type: 'https://in-toto.io/Statement/v0.1', subject: [{ name: 'x', digest: { sha256: about.slice(7) } }], predicateType: 'https://in-toto.io/attestation/test-result/v0.1', predicate: { result: 'PASSED' } }));
const envelope = Buffer.from(JSON.stringify({ payloadType: type, payload: payload.toString('base64'), signatures: [{ keyid: '', sig: signer.sign(pae(type, payload)).toString('base64') }] }));
const simple = Buffer.from(JSON.stringify({ critical: { identity: { 'docker-reference': 'shop' }, image: { 'docker-manifest-digest': about }, type: 'cosign container image signature' }, optional: null }));
const signature = signer.sign(simple).toString('base64');
const readEnvelope = (bytes: Buffer) => readForeign({ form: 'dsse', envelope: bytes.toString('utf8') }, options);
const readSimple = (bytes: Buffer) => readForeign({ form: 'simplesigning', payload: bytes.toString('base64'), signature, certificate: null }, options);
const same = (one: ForeignSaid, other: ForeignSaid) => isDeepStrictEqual([one.signer, one.statement], [other.signer, other.statement]);
const [enveloped, simply] = [readEnvelope(envelope), readSimple(simple)];

const layer = { mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json', digest: digestOf(simple), size: simple.byteLength, annotations: { 'dev.cosignproject.cosign/signature': signature } };
const config = { mediaType: mediaTypes.imageConfig, digest: digestOf('{}'), size: 2 };
const legacy = canonicalJson({ schemaVersion: 2, mediaType: mediaTypes.imageManifest, config, layers: [layer] });
const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const referrer = canonicalJson({ schemaVersion: 2, mediaType: mediaTypes.imageManifest, artifactType: bundleType, config, layers: [{ mediaType: bundleType, digest: about, size: 9 }], subject: { mediaType: mediaTypes.imageIndex, digest: about, size: 3 } });

const { results } = JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/reports/osv-scanner.json'), 'utf8')) as { results: { packages: { vulnerabilities: object[] }[] }[] };
const entries = results.flatMap(({ packages }) => packages.flatMap(({ vulnerabilities }) => vulnerabilities)).map((one) => Buffer.from(JSON.stringify(one)));
const purls = ['pkg:npm/minimist@1.2.5', 'pkg:golang/golang.org/x/net@v0.20.0'];
const json = fc.json({ maxDepth: 6 });

export const inboundParsers: readonly Parser[] = [
  { name: 'old-envelope', corpus: [envelope], grammar: json, milliseconds: 1000, run: (bytes) => hold(same(readEnvelope(bytes), enveloped), 'an envelope that nobody signed verifies') },
  { name: 'old-signature', corpus: [simple], grammar: json, run: (bytes) => hold(same(readSimple(bytes), simply), 'a payload that nobody signed verifies') },
  {
    name: 'attached', corpus: [legacy, referrer],
    run: (bytes) => {
      const bundle = bundleIn(bytes, mediaTypes.imageManifest, about);
      const old = legacyIn(bytes, mediaTypes.imageManifest);
      hold([...(bundle === undefined ? [] : [bundle]), ...old].every(({ digest, limit }) => /^sha256:[0-9a-f]{64}$/.test(digest) && limit <= 24 << 20), 'what is attached is read without a bound');
    },
  },
  {
    name: 'osv-entry', corpus: entries, milliseconds: 1000,
    run: (bytes) => {
      const matcher = openMatcher(purls);
      matcher.add(bytes, 'entry.json');
      const { found } = matcher.result();
      hold(found.every((one) => purls.includes(one.package) && (one.score === null || (one.score >= 0 && one.score <= 10))), 'something is found in a package that is not there');
    },
  },
];
