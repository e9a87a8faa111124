import assert from 'node:assert/strict';
import { test } from 'node:test';
import { predicateTypes, subjectOf, type Statement } from '#attest';
import { digestOf, type Digest } from '#core';
import type { Policy } from '#policy';
import { Governing } from './audit-governance.ts';

const key = (name: string) => Buffer.from(name).toString('base64');
const policy: Policy = {
  kind: 'policy', version: 1, quorum: [{ role: 'release', threshold: 1 }],
  people: [{ name: 'ada', roles: ['release'], keys: [key('ada')] }, { name: 'dan', roles: ['developer'], keys: [key('dan')] }, { name: 'sue', roles: ['security'], keys: [key('sue')] }],
  environments: [{ name: 'production', promote: 'release', rollback: 'release', rules: [{ kind: 'clean', blocksRollback: false }], breakGlass: { role: 'release', threshold: 1, hours: 1 } }],
};
const subject = [subjectOf('shop', digestOf('release'))];
const said = { nonce: 'a nonce of ours', reason: 'CVE' };

/** Reads statements in the order of a log; the complaint about the last of them. */
function read(...entries: [signer: string, Statement][]): string | undefined {
  const governing = new Governing();
  let complaint: string | undefined;
  for (const [at, [signer, statement]] of entries.entries()) {
    complaint = undefined;
    try {
      governing.require({ logIndex: at, envelope: envelope(at), key: key(signer), time: at, statement }, policy);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'verification-failed');
      complaint = (error as Error).message;
    }
  }
  return complaint;
}
const envelope = (at: number): Digest => digestOf(`envelope ${at}`);

const revocation = (by: string): Statement => ({ predicateType: predicateTypes.revocation, subject, predicate: { application: 'shop', by, ...said } });
const keyRevocation = (by: string, of: string): Statement => ({ predicateType: predicateTypes.keyRevocation, subject, predicate: { key: key(of), after: 100, by, ...said } });
const packageRevocation = (by: string): Statement => ({ predicateType: predicateTypes.packageRevocation, subject, predicate: { purl: 'pkg:npm/left-pad', by, ...said } });
const breakGlass = (by: string): Statement => ({ predicateType: predicateTypes.breakGlass, subject, predicate: { application: 'shop', environment: 'production', by, expires: '2026-01-01T00:00:00Z', ...said } });
const settlement = (by: string): Statement => ({ predicateType: predicateTypes.settlement, subject, predicate: { application: 'shop', environment: 'production', breakGlass: envelope(0), by, ...said } });
const resolution = (by: string): Statement => ({ predicateType: predicateTypes.resolution, subject, predicate: { incident: 1, action: 'own', by, nonce: said.nonce, owner: by, resolution: null } });

test('an audit finds who revoked, settled or resolved and might not', () => {
  for (const statement of [revocation, packageRevocation, resolution]) {
    assert.equal(read(['sue', statement('sue')]), undefined);
    assert.match(read(['dan', statement('dan')]) ?? '', /dan may not/);
    assert.match(read(['dan', statement('sue')]) ?? '', /it says it is by sue, its key is of dan/);
  }
  assert.equal(read(['dan', keyRevocation('dan', 'dan')]), undefined);
  assert.match(read(['dan', keyRevocation('dan', 'ada')]) ?? '', /dan may not revoke/);
  assert.match(read(['sue', breakGlass('sue')]) ?? '', /sue may not break the glass/);
  assert.equal(read(['ada', breakGlass('ada')], ['sue', settlement('sue')]), undefined);
  assert.match(read(['ada', breakGlass('ada')], ['ada', settlement('ada')]) ?? '', /ada broke the glass and settled it too/);
});

test('an audit finds what a key signed behind its revocation, wherever that says that it stopped to count', () => {
  assert.match(read(['sue', keyRevocation('sue', 'ada')], ['ada', breakGlass('ada')]) ?? '', /signed by a key of ada, behind the entry by which sue revoked it/);
  assert.equal(read(['ada', breakGlass('ada')], ['sue', keyRevocation('sue', 'ada')]), undefined);
});
