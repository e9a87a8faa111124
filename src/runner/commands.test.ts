import assert from 'node:assert/strict';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CairnError, Clock } from '#core';
import type { Launch, LaunchComponent, SchemaRequest } from '#runner';
import { clock, component, contentOf, eventually, place, preparing, running, served, shop, spawnRunner, switching, type Place } from './fixture.ts';

// Tasks, the question for the schema, crons: commands that end.

async function script(folder: string, name: string, text: string): Promise<void> {
  await writeFile(join(folder, 'content', 'app', name), `import { appendFileSync, readFileSync } from 'node:fs';
    const log = process.env.CAIRN_DATA_FILES + '/ran';
    ${text}`);
}

function task(name: string, more: Partial<LaunchComponent> = {}): Partial<LaunchComponent> {
  return { name, kind: 'task', command: [process.execPath, 'task.mjs'], instances: 0, timeoutMs: 5_000, ...more };
}

async function ran({ folder }: Place): Promise<string[]> {
  return (await readFile(join(folder, 'data/production/shop/files/ran'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
}

test('tasks run once a content, in order of name, before anything of it serves', async (t) => {
  const at = await running(t);
  const { client, folder } = at;
  await script(folder, 'task.mjs', `appendFileSync(log, process.env.CAIRN_COMPONENT + ' ' + process.env.VERSION + '\\n');`);
  const request = (version: string) => preparing(folder, version, [{}, task('migrate-2'), task('migrate-1')]);
  await client.prepare(request('one'));
  assert.deepEqual(await ran(at), [], 'only where it is asked for');
  assert.equal((await client.prepare({ ...request('one'), tasks: true })).warm, true);
  assert.deepEqual(await ran(at), ['migrate-1 one', 'migrate-2 one']);
  await client.prepare({ ...request('one'), tasks: true });
  await client.retire({ ...shop, content: contentOf('one') });
  await client.prepare({ ...request('one'), tasks: true });
  assert.equal((await ran(at)).length, 2);
  await client.prepare({ ...request('two'), tasks: true });
  assert.deepEqual((await ran(at)).slice(2), ['migrate-1 two', 'migrate-2 two']);
});

test('a task that fails stops the promotion with its last lines; nothing is switched, and it may be tried again', async (t) => {
  const at = await running(t);
  const { client, folder, url } = at;
  await client.prepare(preparing(folder, 'one'));
  await client.switch(switching('one', null, 'first'));
  await script(folder, 'task.mjs', `appendFileSync(log, process.env.CAIRN_COMPONENT + '\\n'); console.error('no such table'); process.exit(process.env.CAIRN_COMPONENT === 'b' ? 4 : 0);`);
  const request = { ...preparing(folder, 'two', [{}, task('a'), task('b'), task('c')]), tasks: true };
  await assert.rejects(client.prepare(request), (error: CairnError) => {
    assert.equal(error.code, 'task-failed');
    assert.match(error.message, /the task b of shop ended with 4 .*nothing was switched/);
    assert.deepEqual([error.context['component'], error.context['lines']], ['b', ['no such table']]);
    return true;
  });
  assert.deepEqual(await ran(at), ['a', 'b']);
  assert.equal((await served(url)).version, 'one');
  assert.deepEqual((await client.state()).timelines[0]?.ready, [contentOf('one')]);
  await script(folder, 'task.mjs', `setInterval(() => {}, 1000);`);
  await assert.rejects(client.prepare({ ...preparing(folder, 'two', [task('slow', { timeoutMs: 300 })]), tasks: true }), { code: 'task-failed', message: /did not end within 300 ms/ });
  await script(folder, 'task.mjs', `appendFileSync(log, 'again\\n');`);
  await client.prepare(request);
  assert.deepEqual((await ran(at)).slice(2), ['again', 'again', 'again']);
});

test('a task that the runner was killed under runs again; one that had ended does not, also after a restart', async (t) => {
  const at = await place(t);
  const { client, folder } = at;
  const runner = await spawnRunner(at, 0);
  await script(folder, 'task.mjs', `appendFileSync(log, 'begin ' + process.pid + '\\n'); setTimeout(() => appendFileSync(log, 'end\\n'), 2500);`);
  const request = { ...preparing(folder, 'one', [{}, task('migrate')]), tasks: true };
  const preparingIt = assert.rejects(client.prepare(request), { code: 'unreachable' });
  await eventually('the task runs', async () => (await ran(at)).length === 1);
  runner.process.kill('SIGKILL');
  await preparingIt;
  await spawnRunner(at, runner.port);
  await sleep(2_500);
  assert.equal((await ran(at)).length, 1, 'what was left of it was killed');
  await client.prepare(request);
  assert.deepEqual((await ran(at)).slice(1).map((line) => line.split(' ')[0]), ['begin', 'end']);
  await client.prepare(request);
  assert.equal((await ran(at)).length, 3);
});

function asking(folder: string, schema: Launch['schema'], more: Partial<LaunchComponent> = {}): SchemaRequest {
  const { operation: _, ...rest } = preparing(folder, 'one');
  return { ...rest, launch: { components: [component(folder, 'one', more)], schema } };
}

test('the schema is what the release says of the data: the integer on the last line, or nothing', async (t) => {
  const { client, folder } = await running(t);
  const command = [process.execPath, 'schema.mjs'];
  const asked = async (text: string) => {
    await script(folder, 'schema.mjs', text);
    return (await client.schema(asking(folder, { component: 'web', command, file: null }))).version;
  };
  assert.equal(await asked(`console.log('looking'); console.log(7); console.log('')`), 7);
  assert.equal(await asked(`console.log(process.env.VERSION === 'one' && process.env.CAIRN_DATA_FILES.endsWith('/data/production/shop/files') ? -3 : 0)`), -3);
  assert.equal(await asked(``), null);
  assert.equal(await asked(`console.log('null')`), null);
  await assert.rejects(asked(`console.log('7.5')`), { code: 'task-failed', message: /no integer/ });
  await assert.rejects(asked(`console.log(7); console.error('locked'); process.exit(1)`), (error: CairnError) => {
    assert.deepEqual([error.code, error.context['lines']], ['task-failed', ['7', 'locked']]);
    return true;
  });
  assert.equal((await client.schema(asking(folder, null))).version, null);
});

test('the schema is read from a file of a data folder, and from nowhere else', async (t) => {
  const { client, folder } = await running(t);
  const asked = async (file: string) => (await client.schema(asking(folder, { component: 'web', command: null, file }))).version;
  assert.equal(await asked('files/schema'), null, 'the folder was never made');
  const data = join(folder, 'data/production/shop/files');
  await mkdir(data, { recursive: true });
  assert.equal(await asked('files/schema'), null);
  await writeFile(join(data, 'schema'), '12\n');
  assert.equal(await asked('files/schema'), 12);
  await writeFile(join(data, 'schema'), 'twelve');
  await assert.rejects(asked('files/schema'), { code: 'task-failed' });
  await writeFile(join(folder, 'secret'), '42');
  await mkdir(join(folder, 'data/production/other/files'), { recursive: true });
  await writeFile(join(folder, 'data/production/other/files/schema'), '43');
  // The application writes there: a link of its making must lead the runner, who may be root, to nobody else's file.
  await rm(join(data, 'schema'));
  await symlink(join(folder, 'secret'), join(data, 'schema'));
  await assert.rejects(asked('files/schema'), { code: 'task-failed', message: /not inside/ });
  await symlink(join(folder, 'data/production/other'), join(data, 'other'));
  await assert.rejects(asked('files/other/files/schema'), { code: 'task-failed', message: /not inside/ });
  await assert.rejects(asked('files/../../other/files/schema'), { code: 'task-failed', message: /not inside/ });
  await assert.rejects(asked('other/schema'), { code: 'invalid-configuration' });
  await assert.rejects(asked('../shop/files/schema'), { code: 'invalid-configuration' });
});

/** Every minute takes a second. */
function hasty(): Clock {
  const start = Date.now();
  return { now: () => new Date(start + (Date.now() - start) * 60), elapsed: clock.elapsed };
}

const cron = { name: 'report', kind: 'cron', command: [process.execPath, 'cron.mjs'], instances: 0, timeoutMs: 5_000, schedule: '* * * * *' } as const;

test('a cron runs at its times while its content is live, never twice at once, and each run is logged', async (t) => {
  const at = await running(t, { clock: hasty() });
  const { client, folder, options } = at;
  await script(folder, 'cron.mjs', `
    appendFileSync(log, 'begin ' + process.env.VERSION + '\\n');
    console.log('run of ' + process.env.VERSION);
    setTimeout(() => appendFileSync(log, 'end ' + process.env.VERSION + '\\n'), 1300);`);
  for (const version of ['one', 'two']) await client.prepare(preparing(folder, version, [{}, { ...cron, command: [...cron.command] }]));
  await client.switch(switching('one', null, 'first'));
  await eventually('it ran twice', async () => (await ran(at)).filter((line) => line === 'end one').length === 2);
  await eventually('it runs again', async () => (await ran(at)).at(-1) === 'begin one');
  await client.switch(switching('two', 'one', 'second'));
  await eventually('the other runs', async () => (await ran(at)).includes('begin two'));
  const lines = await ran(at);
  for (const [i, line] of lines.entries()) assert.ok(line.startsWith(i % 2 === 0 ? 'begin' : 'end') || lines[i - 1] === 'begin one', lines.join());
  assert.equal(lines.lastIndexOf('begin one') < lines.indexOf('begin two'), true);
  const log = (await readFile(join(options.directory, 'logs/shop/production.jsonl'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { component: string; line: string });
  assert.ok(log.filter(({ component: name, line }) => name === 'report' && line === 'run of one').length >= 2);
  assert.match(await client.metrics(), /cairn_cron_runs_total\{environment="production",application="shop",component="report",outcome="ok"\} [2-9]/);
});

test('a cron that fails is told, and runs again at its next time', async (t) => {
  const { client, folder, reported } = await running(t, { clock: hasty() });
  await script(folder, 'cron.mjs', `console.error('no mail today'); process.exit(5);`);
  await client.prepare(preparing(folder, 'one', [{}, { ...cron, command: [...cron.command] }]));
  await client.switch(switching('one', null, 'first'));
  await eventually('it failed twice', () => reported.filter(({ code }) => code === 'task-failed').length >= 2);
  assert.match(String(reported[0]?.message), /shop in production: the cron report ended with 5/);
});

test('a schedule that nobody understands is refused before anything starts', async (t) => {
  const { client, folder } = await running(t);
  for (const schedule of ['every day', '* * * *', '* * * * * *', '61 * * * *', '', '@daily']) {
    const request = preparing(folder, 'one', [{}, { ...cron, command: [...cron.command], schedule }]);
    await assert.rejects(client.prepare(request), { code: 'invalid-configuration', message: /schedule of report/ }, schedule);
  }
  assert.deepEqual((await client.state()).timelines, []);
});
