import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { library } from '../support/library.ts';

test('a capsule of what runs in production is decided again', async (t) => {
  const shop = await library(t);
  const first = await shop.release({ files: { 'server.js': 'one\n' }, packages: { ms: '1.0.0' }, message: 'Start' });
  await assert.rejects(shop.promote(first.release, 'production'));
  for (const place of ['staging', 'production'] as const) await shop.promote(first.release, place);
  const file = join(shop.folder, 'shop.capsule.tar');
  const written = await shop.cairn('audit', '--capsule', file);
  assert.equal(written.code, 0, written.stderr);
  const verified = await shop.cairn('verify', '--capsule', file);
  assert.equal(verified.code, 0, verified.stderr);
});
