import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, type Digest } from '#core';
import { parseTrustFile, seedRoot } from '#verify';
import { readCapsule } from '../../src/cli/capsule-archive.ts';
import { checkCapsule } from '../../src/cli/capsule-check.ts';
import type { CapsuleAbout } from '../../src/cli/capsule-form.ts';
import type { Library } from './library.ts';

// Capsules in a test, and what somebody does to them who has all of their bytes in hand and writes the manifest anew.

export interface Capsule {
  readonly about: CapsuleAbout;
  readonly files: ReadonlyMap<string, Buffer>;
}

export async function capsuleOf(shop: Library, reference: string): Promise<Capsule> {
  const path = join(shop.folder, `${reference.replaceAll(/\W/g, '')}.capsule.tar`);
  await rm(path, { force: true });
  await shop.cairn('audit', '--capsule', path, reference);
  return readCapsule(path);
}

export async function trustFile(shop: Library) {
  return { file: parseTrustFile(await readFile(join(shop.repository, 'cairn.trust.json'))), roots: [seedRoot()] };
}

/** The reason that it is refused for; undefined where it holds. */
export async function reasonOf(shop: Library, { about, files }: Capsule): Promise<unknown> {
  try {
    await checkCapsule(about, files, await trustFile(shop));
    return undefined;
  } catch (error) {
    assert.ok(error instanceof CairnError, String(error));
    assert.ok(['verification-failed', 'malformed-document', 'capsule-damaged', 'trust-changed'].includes(error.code), `${error.code}: ${error.message}`);
    return error.context['reason'] ?? error.code;
  }
}

export function changed(capsule: Capsule, change: (files: Map<string, Buffer>) => void): Capsule {
  const files = new Map(capsule.files);
  change(files);
  return { about: capsule.about, files };
}

export function pathOf({ files }: Capsule, form: RegExp): string {
  const found = [...files.keys()].find((path) => form.test(path));
  assert.ok(found !== undefined, `no file ${form} in ${[...files.keys()].join(' ')}`);
  return found;
}

export const numberOf = (path: string) => /\d{8}/.exec(path)?.[0] ?? '';

/** Takes a statement out together with its proof, as one who hides it would. */
export function without(capsule: Capsule, form: RegExp): Capsule {
  const path = pathOf(capsule, form);
  return changed(capsule, (files) => {
    files.delete(path);
    files.delete(`proofs/${numberOf(path)}.tlog-proof`);
  });
}

/** One letter or digit in the middle is another one. */
export function flipped(bytes: Buffer): Buffer {
  const text = bytes.toString('utf8');
  const at = text.slice(text.length / 2).search(/[A-Za-z0-9]/) + Math.floor(text.length / 2);
  return Buffer.from(`${text.slice(0, at)}${text[at] === '7' ? '8' : '7'}${text.slice(at + 1)}`);
}

export async function releaseTwo(shop: Library): Promise<{ one: Digest; two: Digest }> {
  const one = await shop.release({ files: { 'server.js': 'one\n' }, packages: { ms: '1.0.0' }, message: 'Start' });
  const two = await shop.release({ files: { 'server.js': 'two\n' }, packages: { ms: '1.0.0' }, message: 'Go on' });
  await assert.rejects(shop.promote(one.release, 'production'));
  for (const { release } of [one, two]) for (const place of ['staging', 'production'] as const) await shop.promote(release, place);
  await shop.rollback('production');
  return { one: one.release, two: two.release };
}
