import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { Users } from './users.ts';

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'cairn-users-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

test('a name has one user number for good, and no other name has it', async (t) => {
  const path = await folder(t);
  const users = await Users.open(path);
  assert.equal(await users.of('production.shop'), 61_000);
  assert.equal(await users.of('build.shop'), 61_001);
  assert.equal(await users.of('production.shop'), 61_000);
  assert.equal(await (await Users.open(path)).of('build.shop'), 61_001);
});

test('processes that ask at once agree, whatever they ask for first', async (t) => {
  const path = await folder(t);
  const names = Array.from({ length: 12 }, (_, i) => `name-${i}`);
  const go = join(path, '..', `${basename(path)}-go`);
  t.after(() => rm(go, { force: true }));
  const script = `import { existsSync } from 'node:fs';
import { Users } from ${JSON.stringify(join(import.meta.dirname, 'users.ts'))};
const users = await Users.open(process.argv[1]);
while (!existsSync(process.argv[3]));
const all = await Promise.all(JSON.parse(process.argv[2]).map(async (name) => [name, await users.of(name)]));
console.log(JSON.stringify(Object.fromEntries(all)));`;
  const ask = async (order: string[]): Promise<Record<string, number>> => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, path, JSON.stringify(order), go]);
    return JSON.parse(stdout);
  };
  setTimeout(() => void writeFile(go, ''), 500);
  const answers = await Promise.all([ask(names), ask(names.toReversed()), ask([...names.slice(6), ...names.slice(0, 6)])]);
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  assert.equal(new Set(Object.values(answers[0] ?? {})).size, names.length);
  assert.deepEqual((await readdir(path)).filter((name) => name.startsWith('.')), []);
});

test("the machine's own users and groups are passed over", async (t) => {
  const path = await folder(t);
  const accounts = join(path, 'passwd');
  await writeFile(accounts, 'root:x:0:0::/root:/bin/sh\nada:x:61000:61000::/home/ada:/bin/sh\n');
  assert.equal(await (await Users.open(join(path, 'users'), [accounts])).of('production.shop'), 61_001);
});

test('when all numbers are given, the next name is refused and the others keep theirs', async (t) => {
  const path = await folder(t);
  for (let uid = 60_578; uid < 61_184; uid++) await writeFile(join(path, String(uid)), `name-${uid}`);
  const users = await Users.open(path);
  assert.equal(await users.of('name-60999'), 60_999);
  await assert.rejects(users.of('one-more'), { code: 'storage' });
});
