import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { makeStatement, predicateTypes, signEnvelope, subjectOf } from '#attest';
import { digestOf, fixedClock, noFaults } from '#core';
import { openLedger } from '#ledger';
import type { SignedStatement } from '#release';
import { generateSigner, spkiOf } from '#sign';

const run = promisify(execFile);
const [record, person] = [generateSigner('ecdsa'), generateSigner('ecdsa')];
const key = spkiOf(person.publicKey).toString('base64');
const keys = { origin: 'log.example.com', log: generateSigner('ed25519'), time: generateSigner('ed25519') };

/** Of so many commits' worth of text, so that the transaction outgrows what memory holds of it and fails in its middle. */
const statement = (at: number, commits: number): SignedStatement => {
  const predicate = { since: null, commits: Array.from({ length: commits }, (_, one) => ({ commit: digestOf(`${at} ${one}`), subject: 'x'.repeat(60) })) };
  return { envelope: signEnvelope(makeStatement({ predicateType: predicateTypes.notes, subject: [subjectOf('shop', digestOf(`release ${at}`))], predicate }), person), key };
};

test('with the disk full a commit is refused as that, whether it fails in its middle or at its end, and the next one with room is taken', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-full-'));
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=6m,mode=700', 'cairn-full', folder]).then(() => true, () => false);
  if (!mounted) return t.skip('a file system of its own can only be mounted as root');
  const ledger = await openLedger({ path: join(folder, 'ledger.sqlite'), keys, record, clock: fixedClock('2026-01-01T00:00:00Z'), faults: noFaults });
  try {
    await ledger.commit([statement(0, 1)]);
    const ballast = await open(join(folder, 'ballast'), 'w');
    await assert.rejects(async () => {
      for (;;) await ballast.appendFile(Buffer.alloc(4096));
    }, { code: 'ENOSPC' });
    await ballast.close();
    await assert.rejects(ledger.commit([statement(1, 1)]), { code: 'storage-full' });
    // More than the pages that stay in memory: written before the end, and there SQLite ends the transaction by itself.
    await assert.rejects(ledger.commit(Array.from({ length: 40 }, (_, at) => statement(100 + at, 4000))), { code: 'storage-full' });
    await rm(join(folder, 'ballast'));
    const [logged] = await ledger.commit([statement(1, 1)]);
    assert.equal(logged?.logIndex, 2);
    assert.equal((await ledger.rebuild()).same, true);
  } finally {
    await ledger.close();
    await run('umount', [folder]);
    await rm(folder, { recursive: true });
  }
});
