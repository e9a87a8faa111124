import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bundle } from '#attest';
import { canonicalJson } from '#core';
import { generateSigner } from '#sign';
import { logInMemory, signed } from './fixture.ts';
import { parseForeignBundle } from './foreign-bundle.ts';
import { ourLogs, requireKeyValidity, verifyLogged } from './foreign-log.ts';

// Before the library reads the same proof once more.

test('a proof that does not lead to its checkpoint is refused, by whichever of its hashes', async () => {
  const ada = generateSigner('ecdsa');
  const log = logInMemory();
  const bundles = (await log.log(...['one', 'two', 'three', 'four', 'five'].map((name) => [signed(name, ada), ada] as const))) as Bundle[];
  for (const bundle of bundles) {
    const [entry] = parseForeignBundle(canonicalJson(bundle)).entries;
    assert.ok(entry?.inclusionProof !== undefined);
    const logs = ourLogs(log.verifier);
    assert.equal(verifyLogged(entry, 3, logs, undefined).index, Number(entry.logIndex));
    const { hashes } = entry.inclusionProof;
    const bad = [...hashes.map((_, at) => hashes.with(at, Buffer.alloc(32))), hashes.slice(1), [...hashes, Buffer.alloc(32)], hashes.with(0, Buffer.alloc(31))];
    for (const other of bad) assert.throws(() => verifyLogged({ ...entry, inclusionProof: { ...entry.inclusionProof!, hashes: other } }, 3, logs, undefined), { context: { reason: 'proof-invalid' } });
  }
});

test('a time that no calendar has is a refusal like any other', () => {
  const log = { ...ourLogs(logInMemory().verifier)[0]!, until: 1_800_000_000 };
  for (const time of [9_000_000_000_000_000, Infinity]) assert.throws(() => requireKeyValidity({ log, isOurs: false, index: 0, time }, []), { code: 'verification-failed', context: { reason: 'log-key-validity' } });
});
