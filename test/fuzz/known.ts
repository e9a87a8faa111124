import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CairnError } from '#core';
import type { LogVerifier } from '#log';
import { Broken } from './engine.ts';

// What the corpus was signed with. The private keys are gone: whatever verifies and is not in the corpus is a forgery.

export const known = JSON.parse(readFileSync(join(import.meta.dirname, 'corpus/keys.json'), 'utf8')) as { readonly origin: string; readonly log: string; readonly time: string; readonly people: string[]; readonly trust: string[] };
export const key = (spki: string) => createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
export const log: LogVerifier = { origin: known.origin, log: key(known.log), time: key(known.time) };

export function hold(holds: boolean, what: string): void {
  if (!holds) throw new Broken(what);
}

/** For what takes a value: the server has parsed it before. */
export function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new CairnError('malformed-document', 'not JSON');
  }
}
