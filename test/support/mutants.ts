import { spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';

// A guard that no test misses when it is gone is no guard. Each mutant takes one away; the test that it names must then fail.

const schema = z.array(z.strictObject({
  /** What is guarded, in words. */
  guard: z.string().min(1),
  file: z.string().regex(/^(src|bin)\/[\w./-]+$/),
  /** Exact text, once in the file. */
  find: z.string().min(1),
  replace: z.string(),
  test: z.string().regex(/^(src|test)\/[\w./-]+\.test\.ts$/),
  /** Regular expression over the name of the test that must fail. */
  name: z.string().min(1),
}));

export type Mutant = z.infer<typeof schema>[number] & { readonly by: string };

/** `caught`: as it must be. `skipped`: the test needs what this machine lacks. All others are failures. */
export type Fate = 'caught' | 'skipped' | 'survived' | 'stale' | 'no such test' | 'red before' | 'does not load';
export interface Verdict {
  readonly mutant: Mutant;
  readonly fate: Fate;
  /** The tests that caught it, or what is wrong. */
  readonly by: string;
}

export function readMutants(root: string): Mutant[] {
  return globSync('test/mutants/*.json', { cwd: root }).toSorted().flatMap((path) => {
    const parsed = schema.safeParse(JSON.parse(readFileSync(join(root, path), 'utf8')));
    if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
    return parsed.data.map((one) => Object.freeze({ ...one, by: basename(path, '.json') }));
  });
}

/** What is wrong with a mutant's place, or undefined. Code moves; a mutant that no longer applies guards nothing. */
export function stale(root: string, { file, find, replace, test }: Mutant): string | undefined {
  if (!existsSync(join(root, file))) return `${file} is gone`;
  if (!existsSync(join(root, test))) return `${test} is gone`;
  const parts = readFileSync(join(root, file), 'utf8').split(find).length - 1;
  if (parts !== 1) return `its text stands ${parts} times in ${file}`;
  return find === replace ? 'it changes nothing' : undefined;
}

interface Ran {
  readonly tests: readonly { readonly name: string; readonly passed: boolean; readonly skipped: boolean }[];
  readonly code: number | null;
  readonly late: boolean;
  readonly stderr: string;
}

export interface Options {
  readonly root: string;
  readonly node: string;
  readonly lanes: number;
  readonly limitMs: number;
  readonly say: (verdict: Verdict) => void;
}

/** Tries each mutant in a copy of the tree. The tree itself is never touched. */
export async function tryMutants(mutants: readonly Mutant[], options: Options): Promise<Verdict[]> {
  const scratch = await mkdtemp('/tmp/cairn-mutants-');
  try {
    const baselines = new Map<string, Promise<Ran>>();
    const verdicts: Verdict[] = [];
    const queue = [...mutants].toSorted((one, other) => one.test.localeCompare(other.test));
    await Promise.all(Array.from({ length: Math.min(options.lanes, Math.max(1, queue.length)) }, async (_, lane) => {
      const tree = join(scratch, String(lane), 'tree');
      await copyTree(options.root, tree);
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        const verdict = await tryOne(mutant, tree, options, baselines);
        verdicts.push(verdict);
        options.say(verdict);
      }
    }));
    return mutants.flatMap((mutant) => verdicts.find((one) => one.mutant === mutant) ?? []);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function copyTree(root: string, tree: string): Promise<void> {
  await mkdir(tree, { recursive: true });
  for (const part of ['src', 'test', 'bin', 'schemas', 'examples', 'docs', 'package.json', 'package-lock.json', 'README.md', 'CONTRIBUTING.md']) {
    if (existsSync(join(root, part))) await cp(join(root, part), join(tree, part), { recursive: true, filter: (path) => basename(path) !== 'node_modules' });
  }
  for (const [target, name] of [[join(root, 'node_modules'), 'node_modules'], [join(root, '../shared'), '../shared']] as const) if (existsSync(target)) await symlink(target, join(tree, name));
}

async function tryOne(mutant: Mutant, tree: string, options: Options, baselines: Map<string, Promise<Ran>>): Promise<Verdict> {
  const verdict = (fate: Fate, by: string): Verdict => ({ mutant, fate, by });
  const wrong = stale(tree, mutant);
  if (wrong !== undefined) return verdict('stale', wrong);
  // In this lane's tree, which no mutant is in now; a lane that shares the answer waits for it.
  const key = `${mutant.test}\n${mutant.name}`;
  const baseline = baselines.get(key) ?? runTest(mutant, tree, options);
  baselines.set(key, baseline);
  const before = await baseline;
  if (before.tests.length > 0 && before.tests.every(({ skipped }) => skipped)) return verdict('skipped', 'its test needs what is not on this machine');
  if (before.tests.length === 0) return verdict(before.code === 0 ? 'no such test' : 'red before', before.code === 0 ? `nothing in ${mutant.test} is called ${mutant.name}` : lastLine(before));
  const red = before.tests.find(({ passed }) => !passed);
  if (red !== undefined || before.late || before.code !== 0) return verdict('red before', red?.name ?? (before.late ? 'it takes too long' : lastLine(before)));
  const path = join(tree, mutant.file);
  const text = await readFile(path, 'utf8');
  const [head = '', tail = ''] = text.split(mutant.find);
  try {
    await writeFile(path, head + mutant.replace + tail);
    const after = await runTest(mutant, tree, options);
    const failed = after.tests.filter(({ passed }) => !passed).map(({ name }) => name);
    if (failed.length > 0) return verdict('caught', failed[0] ?? '');
    if (after.late) return verdict('caught', `${before.tests[0]?.name ?? ''} (by its time limit)`);
    return after.code === 0 ? verdict('survived', `${mutant.test} passes without it`) : verdict('does not load', lastLine(after));
  } finally {
    await writeFile(path, text);
  }
}

function lastLine({ stderr }: Ran): string {
  return stderr.trim().split('\n').findLast((line) => /error/i.test(line))?.trim().slice(0, 200) ?? 'it ended without a word';
}

/** Only the named test, in a process group of its own that ends with it: a mutant may leave its children behind. */
async function runTest({ test, name }: Mutant, tree: string, { node, limitMs }: Options): Promise<Ran> {
  // Inside a test of ours, Node would take the child for a part of that.
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
  const report = join(tree, '..', `report-${process.hrtime.bigint()}`);
  const parameters = [`--test-reporter=${join(tree, 'test/support/mutant-reporter.ts')}`, `--test-reporter-destination=${report}`, `--test-name-pattern=${name}`, test];
  const child = spawn(node, parameters, { cwd: tree, detached: true, stdio: ['ignore', 'ignore', 'pipe'], env: { ...inherited, NODE_COMPILE_CACHE: join(tree, '../cache') } });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-16_384)));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    endGroup(child.pid);
  }, limitMs);
  const code = await new Promise<number | null>((done, fail) => child.once('exit', done).once('error', fail));
  clearTimeout(timer);
  endGroup(child.pid);
  child.stderr.destroy();
  const lines = await readFile(report, 'utf8').catch(() => '');
  const tests = lines.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Ran['tests'][number]]));
  return { tests, code, late, stderr };
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
