import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, verificationSummary, type Envelope } from '#attest';
import { canonicalJson, digestOf } from '#core';
import { parsePolicy, policyDigest, type Policy } from '#policy';
import { generateSigner, spkiOf, type Signer } from '#sign';
import { trustDigest, type Trust } from '#verify';
import { logInMemory, signed } from '../../src/verify/fixture.ts';

// Made the documents in test/fuzz/corpus that signatures are part of. They are kept as files: the same seed must give the same inputs, and a
// signature is another one each time. Run it again only where a format has changed: node test/fuzz/make-corpus.ts

const folder = join(import.meta.dirname, 'corpus');
const save = (path: string, content: string | Uint8Array) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
};
const spki = (signer: Signer) => spkiOf(signer.publicKey).toString('base64');
const [ada, bob, eve, logKey, timeKey] = [generateSigner('ecdsa'), generateSigner('ecdsa'), generateSigner('ecdsa'), generateSigner('ed25519'), generateSigner('ed25519')];

const origin = 'log-0123.cairn.internal';
const release = digestOf('release');
const rule = { rule: 'provenance', passed: true, found: 'built by ada', nearest: null, fix: null, blocksRollback: true };
const verdict = makeStatement(verificationSummary({
  origin, operation: 'operation-1', application: 'shop', environment: 'production', revision: 7, direction: 'promote', release, content: digestOf('content'),
  subject: [subjectOf('shop', release), subjectOf('web', digestOf('web'))], policy: digestOf('policy'), evidence: [digestOf('e')], passed: true, rules: [rule], time: '2026-01-02T03:04:05Z', version: '0.2.0',
}));
const approval = makeStatement({ predicateType: predicateTypes.approval, subject: [subjectOf('shop', release)], predicate: { application: 'shop', environment: 'production', by: 'bob', expires: '2026-12-02T03:04:05Z', reason: null } });
const request = makeStatement({
  predicateType: predicateTypes.request, subject: [subjectOf('shop', release)],
  predicate: { action: 'promote', application: 'shop', environment: 'production', by: 'ada', nonce: '0011223344', head: 6, configuration: { GREETING: 'hello' }, secrets: { token: 2 }, restores: null, reason: null },
});
for (const [name, statement] of Object.entries({ verdict, approval, request })) save(`statement/${name}.json`, statement);

const log = logInMemory(origin, 1_795_500_000, { log: logKey, time: timeKey });
const envelopes: readonly (readonly [Envelope, Signer])[] = [[signEnvelope(verdict, ada), ada], [signEnvelope(approval, bob), bob], [signEnvelope(request, ada), ada], ...Array.from({ length: 9 }, (_, at) => [signed(`notes ${at}`, ada), ada] as const)];
const bundles = [...await log.log(...envelopes.slice(0, 3)), ...await log.log(...envelopes.slice(3))];
for (const at of [0, 1, 2, 3, 11]) {
  const bundle = bundles[at];
  if (bundle === undefined) throw new Error('too few bundles');
  save(`bundle/${at}.json`, canonicalJson(bundle));
  save(`envelope/${at}.json`, canonicalJson(bundle.dsseEnvelope));
  const { inclusionProof, canonicalizedBody } = bundle.verificationMaterial.tlogEntries[0];
  save(`proof/${at}.json`, JSON.stringify({ body: canonicalizedBody, index: Number(inclusionProof.logIndex), size: Number(inclusionProof.treeSize), root: inclusionProof.rootHash, proof: inclusionProof.hashes }));
}
for (const at of [0, 11]) save(`checkpoint/${at}.txt`, bundles[at]?.verificationMaterial.tlogEntries[0].inclusionProof.checkpoint.envelope ?? '');

const policy: Policy = parsePolicy(canonicalJson({
  kind: 'policy', version: 2, previous: digestOf('before'),
  people: [
    { name: 'ada', roles: ['builder', 'release'], keys: [spki(ada)], validity: { [spki(ada)]: { from: '2026-01-01T00:00:00Z', until: '2027-01-01T00:00:00Z' } } },
    { name: 'bob', roles: ['developer', 'release'], keys: [spki(bob)] },
    { name: 'ci', roles: ['builder'], keys: [], machine: true, identities: [{ issuer: 'https://token.actions.githubusercontent.com', subject: 'https://github.com/acme/shop/.github/workflows/ci.yml@refs/heads/main' }] },
  ],
  environments: [
    { name: 'staging', promote: 'release', rollback: 'release', rules: [{ kind: 'provenance', role: 'builder', blocksRollback: true }] },
    {
      name: 'production', promote: 'release', rollback: 'release', breakGlass: { role: 'release', threshold: 1, hours: 4 },
      freezes: [{ name: 'holidays', start: '2026-12-24T00:00', minutes: 4320, rule: 'FREQ=YEARLY', zone: 'Europe/Berlin', reason: 'nobody is there' }],
      rules: [
        { kind: 'provenance', role: 'builder', blocksRollback: true }, { kind: 'sbom', blocksRollback: false }, { kind: 'tests', role: 'builder', blocksRollback: false }, { kind: 'clean', blocksRollback: false },
        { kind: 'confirmed-in', environment: 'staging', blocksRollback: false }, { kind: 'soak', environment: 'staging', minutes: 10, blocksRollback: false },
        { kind: 'approvals', role: 'release', threshold: 2, independent: true, blocksRollback: false }, { kind: 'rebuilt', role: 'builder', threshold: 1, blocksRollback: false },
      ],
    },
  ],
  quorum: [{ role: 'developer', threshold: 1 }, { role: 'release', threshold: 1 }], revoke: ['release'],
}));
save('policy/full.json', canonicalJson(policy));
const { previous: _, ...first } = policy;
save('policy/first.json', canonicalJson({ ...first, version: 1, people: policy.people.slice(0, 2).map(({ name, roles, keys }) => ({ name, roles, keys })) }));

const genesis: Trust = {
  kind: 'trust', version: 1, origin, since: '2026-01-01T00:00:00Z', keys: { log: spki(logKey), time: spki(timeKey), record: spki(bob), admit: { production: spki(eve) } },
  policy: policyDigest(policy), rotation: { threshold: 2, keys: [spki(ada), spki(bob)] }, recovery: spki(eve),
};
const second: Trust = { ...genesis, version: 2, policy: digestOf('another') };
const rotation = [ada, bob].map((signer) => signEnvelope(makeStatement({ predicateType: predicateTypes.trust, subject: [subjectOf('trust', trustDigest(second))], predicate: second }), signer));
save('trust/genesis.json', JSON.stringify({ genesis, rotations: [] }));
save('trust/rotated.json', `${JSON.stringify({ genesis, rotations: [rotation] }, null, 2)}\n`);
save('keys.json', `${JSON.stringify({ origin, log: spki(logKey), time: spki(timeKey), people: [spki(ada), spki(bob)], trust: [trustDigest(genesis), trustDigest(second)] }, null, 2)}\n`);
