import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { folder as merkle, merkleProofs } from './conformance/merkle.ts';
import { answer, expected, folder as sigstore, sigstoreCases } from './conformance/sigstore.ts';

const skipWithout = (folder: string) => (existsSync(folder) ? false : `test material is not at hand: ${folder}`);

test('140 bundles of sigstore-conformance: 42 good ones pass, and each of the 98 bad ones is refused for its own reason', { skip: skipWithout(sigstore) }, () => {
  const answers = sigstoreCases().map(answer);
  assert.deepEqual([answers.filter((one) => one.good).length, answers.filter((one) => !one.good).length], [42, 98]);
  for (const one of answers) assert.equal(one.reason, expected.get(one.name) ?? null, `${one.name} by ${one.by}: ${one.message}`);
});

test('196 Merkle proofs from elsewhere are answered as their authors say', { skip: skipWithout(merkle) }, () => {
  const proofs = merkleProofs();
  for (const kind of ['inclusion', 'consistency']) assert.equal(proofs.filter((one) => one.kind === kind).length, 98);
  for (const one of proofs) assert.equal(one.accepted, one.good, one.name);
});
