import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inclusionRoot, isConsistent } from '#log';

const folder = join(import.meta.dirname, '../../../shared/data/merkle');
const skip = existsSync(folder) ? false : `test material is not at hand: ${folder}`;
const bytes = (text: string | null) => Buffer.from(text ?? '', 'base64');

interface Inclusion { leafIdx: number; treeSize: number; root: string; leafHash: string; proof: string[] | null; desc: string; wantErr: boolean }
interface Consistency { size1: number; size2: number; root1: string; root2: string; proof: string[] | null; desc: string; wantErr: boolean }

function cases<T>(kind: string): T[] {
  return globSync(join(folder, kind, '**/*.json')).map((file) => JSON.parse(readFileSync(file, 'utf8')) as T);
}

test('98 inclusion proofs from elsewhere are answered as their authors say', { skip }, () => {
  const all = cases<Inclusion>('inclusion');
  assert.equal(all.length, 98);
  for (const one of all) {
    const root = inclusionRoot(bytes(one.leafHash), one.leafIdx, one.treeSize, (one.proof ?? []).map(bytes));
    assert.equal(root?.equals(bytes(one.root)) !== true, one.wantErr, one.desc);
  }
});

test('98 consistency proofs from elsewhere are answered as their authors say', { skip }, () => {
  const all = cases<Consistency>('consistency');
  assert.equal(all.length, 98);
  for (const one of all) {
    const good = isConsistent(one.size1, bytes(one.root1), one.size2, bytes(one.root2), (one.proof ?? []).map(bytes));
    assert.equal(!good, one.wantErr, one.desc);
  }
});
