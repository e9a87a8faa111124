import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGzip } from 'node:zlib';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { CairnError, digestOf, type Digest } from '#core';
import { diffFiles, diffPackages, diffRecord, diffSets, type LayerRef } from './index.ts';
import { countLines } from './lines.ts';
import { distanceOf } from './versions.ts';

const layers = new Map<Digest, Buffer>();
/** How often each layer was opened. */
const opened = new Map<Digest, number>();

async function layer(files: Readonly<Record<string, string | { link: string } | { run: string }>>): Promise<LayerRef> {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) {
    if (typeof content === 'string') archive.entry({ name, mtime: new Date(0) }, content);
    else if ('link' in content) archive.entry({ name, type: 'symlink', linkname: content.link, mtime: new Date(0) }, '');
    else archive.entry({ name, mode: 0o755, mtime: new Date(0) }, content.run);
  }
  archive.finalize();
  const gzip = createGzip();
  const [bytes] = await Promise.all([buffer(gzip), pipeline(archive as unknown as NodeJS.ReadableStream, gzip)]);
  const digest = digestOf(bytes);
  layers.set(digest, bytes);
  return { digest };
}

async function* open(digest: Digest): AsyncGenerator<Uint8Array> {
  opened.set(digest, (opened.get(digest) ?? 0) + 1);
  yield layers.get(digest) ?? Buffer.alloc(0);
}

const differ = async (before: LayerRef[], after: LayerRef[]) =>
  (await diffFiles(before, after, async (digest) => open(digest))).map(({ path, change, lines }) => `${path} ${change}${lines === null ? '' : ` +${lines.added} -${lines.removed}`}`);

test('files are compared as they are composed, and counted by lines', async () => {
  const runtime = await layer({ 'runtime/bin/node': { run: 'node' } });
  const before = await layer({ 'app/a.js': 'one\ntwo\nthree\n', 'app/same.js': 'same\n', 'app/gone.js': 'x\ny', 'app/run.sh': 'go', 'app/to': { link: 'a.js' } });
  const after = await layer({ 'app/a.js': 'one\n2\nthree\nfour\n', 'app/same.js': 'same\n', 'app/come.js': 'x\n', 'app/run.sh': { run: 'go' }, 'app/to': { link: 'same.js' } });
  assert.deepEqual(await differ([runtime, before], [runtime, after]), ['app/a.js changed +2 -1', 'app/come.js added +1 -0', 'app/gone.js removed +0 -2', 'app/run.sh changed +0 -0', 'app/to changed']);
  assert.deepEqual(await differ([runtime, before], [runtime, before]), []);
});

test('a layer that both share at the bottom is read only where something stands on one side alone', async () => {
  const runtime = await layer({ 'runtime/lib': 'shared', 'app/base.js': 'base\n' });
  const [one, two] = [await layer({ 'app/a.js': '1\n' }), await layer({ 'app/a.js': '2\n' })];
  assert.deepEqual(await differ([runtime, one], [runtime, two]), ['app/a.js changed +1 -1']);
  assert.equal(opened.get(runtime.digest), undefined, 'the runtime was not read');
  // What lies under it is what it is compared with.
  const over = await layer({ 'app/a.js': '1\n', 'app/base.js': 'other\n' });
  assert.deepEqual(await differ([runtime, one], [runtime, over]), ['app/base.js changed +1 -1']);
  assert.equal(opened.get(runtime.digest), 2, 'once to compare, once for the lines');
});

test('bytes that are no text are not counted in lines, nor are large files', async () => {
  const [before, after] = [await layer({ 'app/x.bin': 'a\0b', 'app/large.js': 'x\n'.repeat(200_000) }), await layer({ 'app/x.bin': 'a\0c', 'app/large.js': 'y\n'.repeat(200_000) })];
  assert.deepEqual(await differ([before], [after]), ['app/large.js changed', 'app/x.bin changed']);
});

test('a layer whose bytes are not its digest, or no archive, is refused', async () => {
  const good = await layer({ 'app/a.js': '1\n' });
  const other = await layer({ 'app/a.js': '2\n' });
  const lying = async () => open(other.digest);
  await assert.rejects(diffFiles([good], [other], lying), (error) => error instanceof CairnError && error.code === 'digest-mismatch');
  const noise = digestOf('noise');
  layers.set(noise, Buffer.from('noise'));
  await assert.rejects(differ([good], [{ digest: noise }]), (error) => error instanceof CairnError && error.code === 'malformed-document');
});

test('packages change by name; several versions of one come and go by themselves', () => {
  const packages = (...all: string[]) => all.map((one) => ({ name: one.split(' ')[0] ?? '', version: one.split(' ')[1] ?? '' }));
  const changes = diffPackages(packages('money 2.1.0', 'left 1.0.0', 'ms 1.0.0', 'ms 2.0.0', 'old 0.9.0'), packages('money 3.0.0', 'left 1.0.0', 'ms 2.0.0', 'ms 2.1.0', 'ms 3.0.0', 'new 1.0.0'));
  assert.deepEqual(changes.map(({ name, from, to, distance }) => `${name} ${from} ${to} ${distance}`), [
    'money 2.1.0 3.0.0 major', 'ms 1.0.0 null removed', 'ms null 2.1.0 added', 'ms null 3.0.0 added', 'new null 1.0.0 added', 'old 0.9.0 null removed',
  ]);
});

test('versions are as far apart as their first part that differs', () => {
  const cases: [string, string, string, boolean][] = [
    ['1.2.3', '2.0.0', 'major', false], ['2.0.0', '1.9.9', 'major', true], ['1.2.3', '1.3.0', 'minor', false], ['1.2.3', '1.2.2', 'patch', true], ['v1.0.0', 'v1.0.1', 'patch', false],
    ['1.0.0-rc.1', '1.0.0', 'prerelease', false], ['1.0.0', '1.0.0-rc.1', 'prerelease', true], ['1.0.0-rc.2', '1.0.0-rc.10', 'prerelease', false], ['1.0.0-1', '1.0.0-alpha', 'prerelease', false],
    ['1.0.0-a', '1.0.0-a.1', 'prerelease', false], ['1.0.0+a', '1.0.0+b', 'other', false], ['abc', '1.0.0', 'other', false],
  ];
  for (const [from, to, distance, back] of cases) assert.deepEqual(distanceOf(from, to), { distance, back }, `${from} ${to}`);
});

test('lines are counted as the longest common subsequence says', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      const common = longest(a, b);
      assert.deepEqual(countLines(a.map((one) => `${one}\n`).join(''), b.map((one) => `${one}\n`).join('')), { added: b.length - common, removed: a.length - common });
    }),
  );
});

function longest(a: readonly string[], b: readonly string[]): number {
  const table = Array.from({ length: a.length + 1 }, () => Array.from({ length: b.length + 1 }, () => 0));
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const row = table[i] as number[];
      row[j] = a[i - 1] === b[j - 1] ? ((table[i - 1] as number[])[j - 1] ?? 0) + 1 : Math.max((table[i - 1] as number[])[j] ?? 0, row[j - 1] ?? 0);
    }
  }
  return (table[a.length] as number[])[b.length] ?? 0;
}

test('settings and sets say what came and what went', () => {
  assert.deepEqual(diffRecord({ A: '1', B: '2', toString: 'x' }, { A: '1', B: '3', C: '' }), [{ name: 'B', from: '2', to: '3' }, { name: 'C', from: null, to: '' }, { name: 'toString', from: 'x', to: null }]);
  assert.deepEqual(diffSets(['a', 'b', 'a'], ['b', 'c']), { before: ['a', 'b'], after: ['b', 'c'], added: ['c'], removed: ['a'] });
});
