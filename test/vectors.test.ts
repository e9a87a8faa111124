import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, verificationSummary, type Approval, type Ingest, type Intent, type Outcome, type Request, type SummaryInput } from '#attest';
import { canonicalJson, digestOf, type Digest } from '#core';
import { mediaTypes, type Descriptor } from '#oci';
import { contentHash, makeRelease, type ReleaseInput } from '#release';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { currentTrust, parseTrustFile, requireChain, trustDigest, type Trust } from '#verify';
import { Journal } from '../src/runner/journal.ts';

// Golden vectors: what is hashed and signed keeps its bytes from version to version. A change here makes other digests of the
// same releases and other meanings of signed texts: it needs a new version of the format, never a new literal.

const a: Digest = `sha256:${'a'.repeat(64)}`;
const b: Digest = `sha256:${'b'.repeat(64)}`;
const c: Digest = `sha256:${'c'.repeat(64)}`;

test('the content hash is one over release, configuration and secret versions', () => {
  assert.equal(contentHash({ release: a, configuration: {}, secrets: {} }), 'sha256:e11b5a0d6256360c3888bb9beb72ce66fc97ed39a5964a6331cb28984ac4032a');
  assert.equal(contentHash({ release: a, configuration: { B: '2', A: 'ä' }, secrets: { token: 3 } }), 'sha256:87cad3debc6271b527e0c5b5ca40743464ae2ee22e0bbfe765cd2f2dc8f7f4e0');
  assert.equal(contentHash({ release: a, configuration: { A: 'ä', B: '2' }, secrets: { token: 3 } }), 'sha256:87cad3debc6271b527e0c5b5ca40743464ae2ee22e0bbfe765cd2f2dc8f7f4e0');
});

const manifest = (digest: Digest, architecture: string): Descriptor => ({ mediaType: mediaTypes.imageManifest, digest, size: 500, platform: { os: 'linux', architecture } });
const health = { path: '/healthz', intervalMs: 100, threshold: 1, deadlineMs: 30_000 };
const web = { name: 'web', kind: 'web' as const, command: ['node', 'server.js'], health, instances: 1, manifests: [manifest(a, 'amd64')] };
const input: ReleaseInput = {
  application: 'shop',
  source: { uri: 'https://example.com/shop.git', commit: 'c0ffee'.padEnd(40, '0') },
  created: '2026-01-02T03:04:05Z',
  toolchain: [{ name: 'node', version: '26.10.0', platform: 'linux/amd64', digest: c }],
  stages: b,
  components: [web],
  configuration: { GREETING: 'hello' },
  schema: null,
};

test('a release of one component has this document, this index and this digest', () => {
  const made = makeRelease(input);
  assert.equal(made.documentBytes.toString(), '{"application":"shop","components":[{"command":["node","server.js"],"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","health":{"deadlineMs":30000,"intervalMs":100,"path":"/healthz","threshold":1},"instances":1,"kind":"web","name":"web","platforms":[{"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","platform":"linux/amd64"}]}],"configuration":{"GREETING":"hello"},"created":"2026-01-02T03:04:05Z","kind":"release","schema":null,"source":{"commit":"c0ffee0000000000000000000000000000000000","uri":"https://example.com/shop.git"},"stages":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","toolchain":[{"digest":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","name":"node","platform":"linux/amd64","version":"26.10.0"}]}');
  assert.equal(made.documentManifest.toString(), '{"artifactType":"application/vnd.cairn.release.document.v1+json","config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","mediaType":"application/vnd.oci.empty.v1+json","size":2},"layers":[{"digest":"sha256:3cb89a789a85bfc385be102b82499a3889f8d67393e51bdb6d470be49349335a","mediaType":"application/vnd.cairn.release.document.v1+json","size":838}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}');
  assert.equal(made.index.toString(), '{"annotations":{"org.opencontainers.image.created":"2026-01-02T03:04:05Z","org.opencontainers.image.revision":"c0ffee0000000000000000000000000000000000","org.opencontainers.image.source":"https://example.com/shop.git"},"artifactType":"application/vnd.cairn.release.v1+json","manifests":[{"annotations":{"internal.cairn.component":"web"},"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64","os":"linux"},"size":500},{"annotations":{"internal.cairn.document":"v1"},"digest":"sha256:4093ed643ba3370f41e1207057401348cef625fab000e414ff2a123764475ae0","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"unknown","os":"unknown"},"size":459}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}');
  assert.equal(made.digest, 'sha256:2a97a1ff11d782b028a4bde0716fa0fb432262d626cc92b9c1477786e376394a');
  assert.deepEqual(made.componentIndexes, []);
});

test('a release of two components on two platforms orders them by name and platform, with an index for each component', () => {
  const both = (name: string, arm: Digest, amd: Digest) => ({ ...web, name, manifests: [manifest(arm, 'arm64'), manifest(amd, 'amd64')] });
  const other: ReleaseInput = { ...input, source: { ...input.source, uri: null }, schema: { minimum: 1, maximum: 2 }, components: [both('web', a, b), both('jobs', b, c)] };
  const made = makeRelease(other);
  assert.equal(made.documentBytes.toString(), '{"application":"shop","components":[{"command":["node","server.js"],"digest":"sha256:b0d7a81576b0b7fe1ed120d3df0e2a748744f165eb79ca0536e41dc0b236bf07","health":{"deadlineMs":30000,"intervalMs":100,"path":"/healthz","threshold":1},"instances":1,"kind":"web","name":"jobs","platforms":[{"digest":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","platform":"linux/amd64"},{"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","platform":"linux/arm64"}]},{"command":["node","server.js"],"digest":"sha256:d03472c4dd27bd62e2ff8b94ab9bdf48a5f1d91f406412313cfef10d5f6702c8","health":{"deadlineMs":30000,"intervalMs":100,"path":"/healthz","threshold":1},"instances":1,"kind":"web","name":"web","platforms":[{"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","platform":"linux/amd64"},{"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","platform":"linux/arm64"}]}],"configuration":{"GREETING":"hello"},"created":"2026-01-02T03:04:05Z","kind":"release","schema":{"maximum":2,"minimum":1},"source":{"commit":"c0ffee0000000000000000000000000000000000","uri":null},"stages":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","toolchain":[{"digest":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","name":"node","platform":"linux/amd64","version":"26.10.0"}]}');
  assert.equal(made.index.toString(), '{"annotations":{"org.opencontainers.image.created":"2026-01-02T03:04:05Z","org.opencontainers.image.revision":"c0ffee0000000000000000000000000000000000"},"artifactType":"application/vnd.cairn.release.v1+json","manifests":[{"annotations":{"internal.cairn.component":"jobs"},"digest":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64","os":"linux"},"size":500},{"annotations":{"internal.cairn.component":"jobs"},"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"arm64","os":"linux"},"size":500},{"annotations":{"internal.cairn.component":"web"},"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64","os":"linux"},"size":500},{"annotations":{"internal.cairn.component":"web"},"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"arm64","os":"linux"},"size":500},{"annotations":{"internal.cairn.document":"v1"},"digest":"sha256:c824028ebff7e6131615ec5db05551b8e63f02f3f82f76142f7cdc93d4b05b0b","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"unknown","os":"unknown"},"size":460}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}');
  assert.deepEqual(made.componentIndexes.map(String), [
    '{"manifests":[{"digest":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64","os":"linux"},"size":500},{"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"arm64","os":"linux"},"size":500}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}',
    '{"manifests":[{"digest":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64","os":"linux"},"size":500},{"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"arm64","os":"linux"},"size":500}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}',
  ]);
  assert.equal(made.digest, 'sha256:b57c7e83f95c6ae0ef10d69bf92f6fa84796bae9bd89a2f94dffc5d7f0a7a518');
  assert.equal(makeRelease({ ...other, components: [...other.components].toReversed().map((one) => ({ ...one, manifests: [...one.manifests].toReversed() })) }).digest, made.digest);
});

const place = { operation: 'operation-1', application: 'shop', environment: 'production', revision: 7 };
const statement = (predicateType: string, predicate: unknown) => makeStatement({ predicateType, subject: [subjectOf('shop', a)], predicate }).toString();

test('a request has these bytes', () => {
  const request: Request = {
    action: 'promote', application: 'shop', environment: 'production', by: 'ada', nonce: '00112233', head: 6, configuration: { GREETING: 'hello' }, secrets: { token: 2 },
    restores: null, reason: null,
  };
  assert.equal(statement(predicateTypes.request, request), '{"_type":"https://in-toto.io/Statement/v1","predicate":{"action":"promote","application":"shop","by":"ada","configuration":{"GREETING":"hello"},"environment":"production","head":6,"nonce":"00112233","reason":null,"restores":null,"secrets":{"token":2}},"predicateType":"https://cairn.internal/request/v1","subject":[{"digest":{"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"name":"shop"}]}');
});

test('an approval has these bytes', () => {
  const approval: Approval = { application: 'shop', environment: 'production', by: 'bob', expires: '2026-01-02T03:04:05Z', reason: 'read it' };
  assert.equal(statement(predicateTypes.approval, approval), '{"_type":"https://in-toto.io/Statement/v1","predicate":{"application":"shop","by":"bob","environment":"production","expires":"2026-01-02T03:04:05Z","reason":"read it"},"predicateType":"https://cairn.internal/approval/v1","subject":[{"digest":{"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"name":"shop"}]}');
});

test('an ingest has these bytes', () => {
  const ingest: Ingest = { entries: [{ logIndex: 4, envelope: b }, { logIndex: 5, envelope: c }] };
  assert.equal(statement(predicateTypes.ingest, ingest), '{"_type":"https://in-toto.io/Statement/v1","predicate":{"entries":[{"envelope":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","logIndex":4},{"envelope":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","logIndex":5}]},"predicateType":"https://cairn.internal/ingest/v1","subject":[{"digest":{"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"name":"shop"}]}');
});

test('an intent has these bytes', () => {
  const intent: Intent = { ...place, content: b, from: c, restores: 3 };
  assert.equal(statement(predicateTypes.intent, intent), '{"_type":"https://in-toto.io/Statement/v1","predicate":{"application":"shop","content":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","environment":"production","from":"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","operation":"operation-1","restores":3,"revision":7},"predicateType":"https://cairn.internal/intent/v1","subject":[{"digest":{"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"name":"shop"}]}');
});

test('an outcome has these bytes', () => {
  const outcome: Outcome = { ...place, state: 'live', milliseconds: 1.5, journal: 9, detail: null };
  assert.equal(statement(predicateTypes.outcome, outcome), '{"_type":"https://in-toto.io/Statement/v1","predicate":{"application":"shop","detail":null,"environment":"production","journal":9,"milliseconds":1.5,"operation":"operation-1","revision":7,"state":"live"},"predicateType":"https://cairn.internal/outcome/v1","subject":[{"digest":{"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"name":"shop"}]}');
});

const summary: SummaryInput = {
  ...place, origin: 'log-0123.cairn.internal', direction: 'promote', release: a, content: b, subject: [subjectOf('shop', a), subjectOf('web', c)], policy: c, evidence: [b],
  passed: true, rules: [{ rule: 'provenance', passed: true, found: 'by ada', nearest: null, fix: null, blocksRollback: true }], time: '2026-01-02T03:04:05Z', version: '0.1.0',
};

test('a verdict that passed has these bytes, and names verifier, resource and level by place alone', () => {
  const made = verificationSummary(summary);
  assert.equal(makeStatement(made).toString(), '{"_type":"https://in-toto.io/Statement/v1","predicate":{"https://cairn.internal/verdict/v1":{"application":"shop","content":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","direction":"promote","environment":"production","operation":"operation-1","release":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","revision":7,"rules":[{"blocksRollback":true,"fix":null,"found":"by ada","nearest":null,"passed":true,"rule":"provenance"}]},"inputAttestations":[{"digest":{"sha256":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"uri":"https://log-0123.cairn.internal/envelopes/sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}],"policy":{"digest":{"sha256":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"},"uri":"https://log-0123.cairn.internal/policies/sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"},"resourceUri":"https://log-0123.cairn.internal/environments/production/shop","slsaVersion":"1.1","timeVerified":"2026-01-02T03:04:05Z","verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_1"],"verifier":{"id":"https://log-0123.cairn.internal/verifiers/admit-production","version":{"cairn":"0.1.0"}}},"predicateType":"https://slsa.dev/verification_summary/v1","subject":[{"digest":{"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"name":"shop"},{"digest":{"sha256":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"},"name":"web"}]}');
  const { resourceUri, verifier, verifiedLevels } = made.predicate as { resourceUri: string; verifier: { id: string }; verifiedLevels: string[] };
  assert.equal(resourceUri, 'https://log-0123.cairn.internal/environments/production/shop');
  assert.equal(verifier.id, 'https://log-0123.cairn.internal/verifiers/admit-production');
  assert.deepEqual(verifiedLevels, ['SLSA_BUILD_LEVEL_1']);
});

test('a verdict that failed has these bytes, and is no admission', () => {
  const made = verificationSummary({ ...summary, passed: false, evidence: [], rules: [{ rule: 'provenance', passed: false, found: 'none', nearest: null, fix: 'cairn release', blocksRollback: true }] });
  assert.equal(makeStatement(made).toString(), '{"_type":"https://in-toto.io/Statement/v1","predicate":{"https://cairn.internal/verdict/v1":{"application":"shop","content":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","direction":"promote","environment":"production","operation":"operation-1","release":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","revision":7,"rules":[{"blocksRollback":true,"fix":"cairn release","found":"none","nearest":null,"passed":false,"rule":"provenance"}]},"inputAttestations":[],"policy":{"digest":{"sha256":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"},"uri":"https://log-0123.cairn.internal/policies/sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"},"resourceUri":"https://log-0123.cairn.internal/environments/production/shop","slsaVersion":"1.1","timeVerified":"2026-01-02T03:04:05Z","verificationResult":"FAILED","verifiedLevels":["FAILED"],"verifier":{"id":"https://log-0123.cairn.internal/verifiers/record","version":{"cairn":"0.1.0"}}},"predicateType":"https://slsa.dev/verification_summary/v1","subject":[{"digest":{"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"name":"shop"},{"digest":{"sha256":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"},"name":"web"}]}');
  const { resourceUri, verifier, verifiedLevels } = made.predicate as { resourceUri: string; verifier: { id: string }; verifiedLevels: string[] };
  assert.equal(resourceUri, 'https://log-0123.cairn.internal/environments/production/shop');
  assert.equal(verifier.id, 'https://log-0123.cairn.internal/verifiers/record');
  assert.deepEqual(verifiedLevels, ['FAILED']);
});

const [ada, bob, eve, safe] = Array.from({ length: 4 }, () => generateSigner('ecdsa')) as [Signer, Signer, Signer, Signer];
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');
const genesis: Trust = {
  kind: 'trust', version: 1, origin: 'log-0123.cairn.internal', since: '2026-01-01T00:00:00Z', keys: { log: 'bG9n', time: 'dGltZQ==', record: 'cmVjb3Jk', admit: { production: 'YWRtaXQ=' } },
  policy: a, rotation: { threshold: 2, keys: [spki(ada), spki(bob)] }, recovery: spki(safe),
};

function rotation(next: Trust, signers: readonly Signer[], subject = trustDigest(next)) {
  const bytes = makeStatement({ predicateType: predicateTypes.trust, subject: [subjectOf('trust', subject)], predicate: next });
  return signers.map((signer) => signEnvelope(bytes, signer));
}

const second: Trust = { ...genesis, version: 2, policy: b };
const third: Trust = { ...second, version: 3, rotation: { threshold: 1, keys: [spki(eve)] }, recovery: null };
const refused = { code: 'verification-failed' };

test('trust has this digest', () => {
  assert.equal(trustDigest({ ...genesis, rotation: { threshold: 1, keys: ['YWRh'] }, recovery: null }), 'sha256:7cc886c349bd6b8c174547f936d1c139576c5236b19bb73b904e8f8bd4d62c9b');
});

test('a chain of rotations that enough keys of the version before signed is accepted', () => {
  assert.deepEqual(currentTrust({ genesis, rotations: [] }), genesis);
  assert.deepEqual(currentTrust({ genesis, rotations: [rotation(second, [ada, bob]), rotation(third, [bob, eve, ada])] }), third);
  const fourth: Trust = { ...third, version: 4, policy: c };
  assert.deepEqual(currentTrust({ genesis, rotations: [rotation(second, [ada, bob]), rotation(third, [ada, bob]), rotation(fourth, [eve])] }), fourth);
});

test('the recovery key rotates alone, but not where there is none any more', () => {
  assert.deepEqual(currentTrust({ genesis, rotations: [rotation(second, [safe])] }), second);
  const fourth: Trust = { ...third, version: 4 };
  assert.throws(() => currentTrust({ genesis, rotations: [rotation(second, [safe]), rotation(third, [safe]), rotation(fourth, [safe])] }), refused);
});

test('a rotation by fewer keys than asked, by one key twice, or by strangers is refused', () => {
  for (const signers of [[ada], [ada, ada], [eve], [ada, eve], []]) assert.throws(() => currentTrust({ genesis, rotations: [rotation(second, signers)] }), refused);
  const doubled: Trust = { ...genesis, rotation: { threshold: 2, keys: [spki(ada), spki(ada)] }, recovery: null };
  assert.throws(() => currentTrust({ genesis: doubled, rotations: [rotation({ ...doubled, version: 2 }, [ada, ada])] }), refused);
  // The keys that a version brings along do not vouch for it.
  const zoe = generateSigner('ecdsa');
  assert.throws(() => currentTrust({ genesis, rotations: [rotation({ ...second, rotation: { threshold: 2, keys: [spki(eve), spki(zoe)] } }, [eve, zoe])] }), refused);
  assert.throws(() => currentTrust({ genesis, rotations: [rotation({ ...third, version: 2 }, [eve])] }), refused);
});

test('a rotation to another version than the next, of another log, with another subject, or of two texts is refused', () => {
  assert.throws(() => currentTrust({ genesis, rotations: [rotation({ ...second, version: 3 }, [ada, bob])] }), refused);
  assert.throws(() => currentTrust({ genesis, rotations: [rotation({ ...second, version: 1 }, [ada, bob])] }), refused);
  assert.throws(() => currentTrust({ genesis, rotations: [rotation({ ...second, origin: 'log-4567.cairn.internal' }, [ada, bob])] }), refused);
  assert.throws(() => currentTrust({ genesis, rotations: [rotation(second, [ada, bob], c)] }), refused);
  assert.throws(() => currentTrust({ genesis, rotations: [[...rotation(second, [ada]), ...rotation({ ...second, policy: c }, [bob])]] }), refused);
});

test('whoever knows one version takes only files whose chain passes through it', () => {
  const file = { genesis, rotations: [rotation(second, [ada, bob])] };
  assert.deepEqual(requireChain(trustDigest(genesis), file), second);
  assert.deepEqual(requireChain(trustDigest(second), file), second);
  assert.throws(() => requireChain(trustDigest(second), { genesis, rotations: [] }), { code: 'trust-changed' });
  const swapped: Trust = { ...genesis, rotation: { threshold: 1, keys: [spki(eve)] } };
  assert.throws(() => requireChain(trustDigest(genesis), { genesis: swapped, rotations: [] }), { code: 'trust-changed' });
});

test('a trust file in another form, with a key that is none, or with more rotations than anybody makes is refused', () => {
  const file = (value: unknown) => parseTrustFile(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
  const malformed = { code: 'malformed-document' };
  for (const value of ['{', '[]', { genesis, rotations: [''] }, { genesis, rotations: Array.from({ length: 1001 }, () => []) }, { genesis, rotations: [], extra: 1 }, JSON.stringify({ genesis, rotations: [] }).replace('"version":1', '"version":1,"version":2')]) {
    assert.throws(() => file(value), malformed);
  }
  for (const key of ['MFkw', spkiOf(generateSigner('ed25519').publicKey).toString('base64')]) {
    const odd: Trust = { ...genesis, rotation: { threshold: 1, keys: [key] }, recovery: null };
    assert.throws(() => currentTrust({ genesis: odd, rotations: [rotation({ ...odd, version: 2 }, [ada])] }), malformed);
  }
});

test("the runner's journal has these lines, each naming the digest of the one before", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-vectors-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'journal.jsonl');
  const journal = await Journal.open(path, () => {});
  const where = { application: 'shop', environment: 'production', at: '2026-01-02T03:04:05.678Z' };
  await journal.append({ ...where, kind: 'prepared', operation: 'operation-1', content: a, release: b, healthy: 1, milliseconds: 12.5 });
  await journal.append({ ...where, kind: 'switched', operation: 'operation-1', from: null, to: a, release: b, revision: 1, milliseconds: 0.5, restores: null, reason: null, by: 'ada' });
  await journal.append({ ...where, kind: 'retired', content: a });
  await journal.close();
  // Behind the lines stand the zeros of the reserved space.
  const lines = (await readFile(path, 'utf8')).replace(/\0+$/, '').split('\n');
  assert.deepEqual(lines, [
    '{"application":"shop","at":"2026-01-02T03:04:05.678Z","content":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","environment":"production","healthy":1,"kind":"prepared","milliseconds":12.5,"operation":"operation-1","previous":"sha256:0000000000000000000000000000000000000000000000000000000000000000","release":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","sequence":1}',
    '{"application":"shop","at":"2026-01-02T03:04:05.678Z","by":"ada","environment":"production","from":null,"kind":"switched","milliseconds":0.5,"operation":"operation-1","previous":"sha256:578bbad41524a15d7cfeb43c256293dca0c89fafd7bf9b9463e6d6828a9c0fd1","reason":null,"release":"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","restores":null,"revision":1,"sequence":2,"to":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}',
    '{"application":"shop","at":"2026-01-02T03:04:05.678Z","content":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","environment":"production","kind":"retired","previous":"sha256:c7dcd8ce08c1eb3daa866c7bdd70a4b72632e6dd53b1da19d8c534264b44d765","sequence":3}',
    '',
  ]);
  for (const [at, line] of lines.slice(0, 3).entries()) {
    const entry = JSON.parse(line) as { previous: string };
    assert.equal(entry.previous, at === 0 ? `sha256:${'0'.repeat(64)}` : digestOf(lines[at - 1] as string));
    assert.equal(canonicalJson(entry).toString(), line);
  }
});
