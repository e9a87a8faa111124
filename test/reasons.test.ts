import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const text = (file: string) => readFileSync(join(root, file), 'utf8');
const words = (from: string, pattern: RegExp) => [...from.matchAll(pattern)].map(([, word = '']) => word);
const reasons = words(text('src/core/reasons.ts').split('export type Reason =')[1]?.split(';')[0] ?? '', /'([a-z-]+)'/g);

test('every reason for a refusal is written down, and nothing else is', () => {
  const written = text('docs/design/formats.md').split('| of | reasons |')[1]?.split('\n\n')[0] ?? '';
  assert.deepEqual(words(written, /`([a-z-]+)`/g).toSorted(), reasons.toSorted());
});

test('every reason is given somewhere, and is one reason only', () => {
  const sources = globSync('src/**/*.ts', { cwd: root }).filter((file) => file !== 'src/core/reasons.ts' && !file.endsWith('.test.ts')).map(text).join('\n');
  assert.deepEqual(reasons.filter((reason) => !sources.includes(`'${reason}'`)), []);
  assert.equal(new Set(reasons).size, reasons.length);
});
