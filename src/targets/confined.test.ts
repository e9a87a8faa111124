import assert from 'node:assert/strict';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type CairnError, digestOf } from '#core';
import { openIsolation, type Confined, type Isolation, type Limits } from '#isolation';
import { composeContent, removeFinished, runOnce, startInstance, takePort, unpackLayer, type Health, type Program, type RunResult } from '#targets';
import { clock } from './fixture.ts';

// An application that was made by an attacker, under a user of its own, in a home like the real one.

const none: Limits = { memoryMb: null, cpus: null };
const health: Health = { path: '/', intervalMs: 20, threshold: 1, deadlineMs: 10_000 };
const server = `import { createServer } from 'node:http';
createServer((request, response) => response.end(String(process.getuid()))).listen(process.env.PORT, process.env.HOST);`;
const why = await (async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-confined-'));
  const { users, limits, reason } = await openIsolation({ folder });
  await rm(folder, { recursive: true });
  return users && limits ? null : reason;
})();
const options = why === null ? {} : { skip: `nothing is confined here: ${why}` };

interface World {
  readonly home: string;
  readonly isolation: Isolation;
  confine(limits?: Limits): Promise<Confined>;
  program(script: string, confined: Confined): Promise<Program>;
}

/** A home with a secret, another application's data, and an unpacked content. */
async function world(t: TestContext): Promise<World> {
  const home = await mkdtemp(join(tmpdir(), 'cairn-home-'));
  t.after(() => removeFinished(home));
  await chmod(home, 0o711);
  await mkdir(join(home, 'secrets'), { mode: 0o700 });
  await writeFile(join(home, 'secrets', 'key'), 'a key', { mode: 0o644 });
  const isolation = await openIsolation({ folder: join(home, 'isolation'), mustReach: home });
  await mkdir(join(home, 'data'), { mode: 0o711 });
  for (const name of ['neighbour', 'shop']) {
    const confined = await isolation.confine(`production.${name}`, none);
    await confined.close();
    const uid = confined.uid ?? 0;
    await mkdir(join(home, 'data', name), { mode: 0o700 });
    await writeFile(join(home, 'data', name, 'customers'), 'of the neighbour', { mode: 0o644 });
    await chown(join(home, 'data', name), uid, uid);
    await chown(join(home, 'data', name, 'customers'), uid, uid);
  }
  return {
    home,
    isolation,
    confine: (limits = none) => isolation.confine('production.shop', limits),
    async program(script, confined) {
      const layer = pack();
      const bytes = buffer(layer as unknown as AsyncIterable<Uint8Array>);
      layer.entry({ name: 'app/main.mjs' }, script);
      layer.finalize();
      const gzip = gzipSync(await bytes);
      const folder = join(home, 'unpacked', digestOf(gzip).slice(7, 19));
      await unpackLayer((async function* () { yield gzip; })(), digestOf(gzip), `${folder}-layer`);
      await composeContent([`${folder}-layer`], folder);
      return {
        directory: folder, command: [process.execPath, 'main.mjs'], variables: { PATH: '/usr/bin:/bin' }, confined, home: join(home, 'data', 'shop'), runtime: null,
        logFile: join(home, 'logs', 'web.jsonl'), place: { application: 'shop', environment: 'production', component: 'web' }, release: digestOf('r'), content: digestOf('c'), clock,
      };
    },
  };
}

test('an application under its own user serves, writes to its own folder, and reads its content but can not change it', options, async (t) => {
  const { confine, program, home } = await world(t);
  const confined = await confine({ memoryMb: 512, cpus: 2 });
  const tried = `import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
writeFileSync(process.env.HOME + '/own', readFileSync('main.mjs'));
try { appendFileSync('main.mjs', '//'); } catch (error) { console.log(error.code); }
try { writeFileSync('../new', ''); } catch (error) { console.log(error.code); }\n`;
  const instance = await startInstance({ ...(await program(tried + server, confined)), port: await takePort(), health });
  assert.equal(await (await fetch(String(instance.origin))).text(), String(confined.uid));
  await instance.stop(2_000);
  assert.equal((await stat(join(home, 'data/shop/own'))).uid, confined.uid);
  const log = (await readFile(join(home, 'logs/web.jsonl'), 'utf8')).trimEnd().split('\n').map((line) => (JSON.parse(line) as { line: string }).line);
  assert.equal(log.length, 2);
  for (const line of log) assert.match(line, /EACCES|EROFS|EPERM/);
  assert.equal((await stat(join(home, 'logs/web.jsonl'))).uid, 0);
});

test("it reads neither the home's secrets, nor other applications' data, nor the log, nor its runner's environment, and kills nobody", options, async (t) => {
  const { confine, program, home } = await world(t);
  const forbidden = [`${home}/secrets/key`, `${home}/data/neighbour/customers`, `${home}/isolation/users/61000`, `/proc/${process.pid}/environ`, `${home}/logs/web.jsonl`];
  const script = `import { readdirSync, readFileSync } from 'node:fs';
const code = (task) => { try { task(); return 'done'; } catch (error) { return error.code; } };
const read = ${JSON.stringify(forbidden)}.map((path) => code(() => readFileSync(path)));
console.log([...read, code(() => readdirSync(${JSON.stringify(home)})), code(() => process.kill(${process.pid}, 'SIGCONT')), code(() => process.setuid(0)), code(() => readFileSync('main.mjs'))].join());`;
  const run = async (): Promise<RunResult> => runOnce({ ...(await program(script, await confine())), timeoutMs: 10_000 });
  // The second time there is a log.
  const [, { code, stdout }] = [await run(), await run()];
  assert.equal(stdout, 'EACCES,EACCES,EACCES,EACCES,EACCES,EACCES,EPERM,EPERM,done\n');
  assert.equal(code, 0);
});

test('one whose port another application has taken is not healthy, whoever answers', options, async (t) => {
  const { confine, program, isolation } = await world(t);
  const port = await takePort();
  const squatting = await program(server, await isolation.confine('production.neighbour', none));
  const squatter = await startInstance({ ...squatting, port, health });
  t.after(() => squatter.stop(0));
  const idle = await program('setInterval(() => {}, 1000);', await confine());
  await assert.rejects(startInstance({ ...idle, port, health }), { code: 'unhealthy', message: /another program listens/ });
});

test('one that takes more memory than its limit is killed, and the error says so', options, async (t) => {
  const { confine, program } = await world(t);
  const greedy = 'const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1));';
  const starting = startInstance({ ...(await program(greedy, await confine({ memoryMb: 96, cpus: null }))), port: await takePort(), health });
  await assert.rejects(starting, (error: CairnError) => {
    assert.equal(error.code, 'unhealthy');
    assert.match(error.message, /was killed, probably by its memory limit of 96 MB/);
    return true;
  });
  const run = await runOnce({ ...(await program(greedy, await confine({ memoryMb: 96, cpus: null }))), timeoutMs: 10_000 });
  assert.deepEqual([run.signal, run.how], ['SIGKILL', 'was killed, probably by its memory limit of 96 MB']);
  const killed = await startInstance({ ...(await program(server, await confine({ memoryMb: 512, cpus: null }))), port: await takePort(), health });
  process.kill(killed.pid, 'SIGKILL');
  assert.equal((await killed.exited).how, 'ended with SIGKILL');
});

test('what left its process group goes with it, and so does its group', options, async (t) => {
  const { confine, program } = await world(t);
  const confined = await confine();
  const script = `import { spawn } from 'node:child_process';
const child = spawn('sleep', ['300'], { detached: true, stdio: 'inherit' });
child.unref();
console.log(child.pid);`;
  const { stdout, milliseconds } = await runOnce({ ...(await program(script, confined)), timeoutMs: 10_000 });
  assert.equal(await readFile(`/proc/${Number(stdout)}/cmdline`, 'utf8').catch(() => ''), '');
  assert.ok(milliseconds < 900, 'nor is it waited for, although it holds the pipes');
  const groups = await Promise.all(['/sys/fs/cgroup/cairn', '/sys/fs/cgroup/memory/cairn'].map((folder) => readdir(folder).catch(() => [])));
  assert.deepEqual(groups.flat().filter((name) => name.includes(`.${process.pid}.`)), []);
});

test('an orphan is known by its number, its folder and its variables', options, async (t) => {
  const { confine, program } = await world(t);
  const port = await takePort();
  let spawned = 0;
  const content = await program(server, await confine());
  const instance = await startInstance({ ...content, port, health, spawned: async (pid) => void (spawned = pid) });
  assert.equal(instance.pid, spawned);
  assert.equal(await readlink(`/proc/${spawned}/cwd`), join(content.directory, 'app'));
  assert.ok((await readFile(`/proc/${spawned}/environ`, 'utf8')).split('\0').includes(`PORT=${port}`));
  await instance.stop(2_000);
});

test('confinement costs a start a few milliseconds', options, async (t) => {
  const { confine, program, isolation } = await world(t);
  const { unconfined } = await import('#isolation');
  const content = { ...(await program('', unconfined)), command: ['/bin/true'], timeoutMs: 10_000 };
  const measure = async (make: () => Promise<Confined>): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < 15; i++) {
      const start = performance.now();
      assert.equal((await runOnce({ ...content, confined: await make() })).code, 0);
      times.push(performance.now() - start);
      await sleep(1);
    }
    // The least: the others measure what else the machine does.
    return Math.min(...times);
  };
  const more = (await measure(() => confine({ memoryMb: 256, cpus: 1 }))) - (await measure(async () => unconfined));
  t.diagnostic(`${more.toFixed(1)} ms`);
  assert.ok(more < 50, `${more} ms`);
  assert.equal(isolation.users, true);
});
