import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inclusionRoot, isConsistent } from '#log';

// The proofs of transparency-dev/merkle: good ones, and bad ones that differ in one thing.

export const folder = join(import.meta.dirname, '../../../shared/data/merkle');

export interface Proof {
  readonly kind: 'inclusion' | 'consistency';
  readonly name: string;
  /** What its authors say. */
  readonly good: boolean;
  readonly accepted: boolean;
}

interface Inclusion { leafIdx: number; treeSize: number; root: string; leafHash: string; proof: string[] | null; desc: string; wantErr: boolean }
interface Consistency { size1: number; size2: number; root1: string; root2: string; proof: string[] | null; desc: string; wantErr: boolean }

const bytes = (text: string | null) => Buffer.from(text ?? '', 'base64');

export function merkleProofs(): Proof[] {
  const inclusion = cases<Inclusion>('inclusion').map((one): Proof => {
    const root = inclusionRoot(bytes(one.leafHash), one.leafIdx, one.treeSize, (one.proof ?? []).map(bytes));
    return { kind: 'inclusion', name: one.desc, good: !one.wantErr, accepted: root?.equals(bytes(one.root)) === true };
  });
  const consistency = cases<Consistency>('consistency').map((one): Proof => {
    const accepted = isConsistent(one.size1, bytes(one.root1), one.size2, bytes(one.root2), (one.proof ?? []).map(bytes));
    return { kind: 'consistency', name: one.desc, good: !one.wantErr, accepted };
  });
  return [...inclusion, ...consistency];
}

function cases<T>(kind: string): T[] {
  return globSync(join(folder, kind, '**/*.json')).map((file) => JSON.parse(readFileSync(file, 'utf8')) as T);
}
