import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Machine, top } from '../support/machine.ts';

// What is read of what runs, on a real machine: processes, their logs, and a home that is backed up and brought back.

interface Traced {
  readonly release: string;
  readonly components: readonly { readonly name: string; readonly pids: readonly number[] }[];
}

test('what runs is read back, and comes back from a backup', async (t) => {
  const machine = await Machine.make(t);
  await machine.init();
  await machine.startUp();
  const first = await machine.release();
  const promote = async (release: string) => assert.equal((await machine.cairn('promote', release, 'staging')).code, 0);
  await promote(first);
  await machine.change('two');
  const second = await machine.release();
  await promote(second);
  const live = async () => (await fetch(machine.urlOf('staging'))).headers.get('cairn-release');
  const json = async <T>(...parameters: string[]): Promise<T> => {
    const ran = await machine.cairn(...parameters, '--json');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    return ran.json as T;
  };

  await t.test('status has the processes, the way back and the isolation', async () => {
    const { stdout } = await machine.cairn('status');
    assert.match(stdout, new RegExp(`staging +hello ${second.slice(7, 19)} +revision 2 confirmed +1 healthy`));
    assert.match(stdout, new RegExp(`back to ${first.slice(7, 19)} +warm`));
    assert.match(stdout, /isolation +\S/);
  });

  await t.test('trace finds the release of a process by its number', async () => {
    const { components } = await json<Traced>('trace', 'staging');
    const [pid = 0] = components[0]?.pids ?? [];
    process.kill(pid, 0);
    assert.equal((await json<Traced>('trace', '--pid', String(pid))).release, second);
    assert.match((await machine.cairn('trace', 'staging')).stdout, new RegExp(`pid ${pid}  <-  revision 2  <-  hello ${second.slice(7, 19)}  <-  image [0-9a-f]{12}  <-  layers runtime [0-9a-f]{12}, application [0-9a-f]{12}`));
  });

  await t.test('logs are lines with digest and process, filtered, and followed', async () => {
    const lines = (text: string) => text.split('\n').filter((line) => line !== '');
    const all = lines((await machine.cairn('logs', 'staging')).stdout);
    assert.match(all[0] ?? '', new RegExp(`^\\d{4}-\\d\\d-\\d\\dT\\S+Z web \\d+ ${first.slice(7, 19)} `));
    assert.equal(lines((await machine.cairn('logs', 'hello/staging', '-n', '1')).stdout).length, 1);
    const own = lines((await machine.cairn('logs', 'staging', '--release', second.slice(7, 15), '--json')).stdout).map((line) => JSON.parse(line) as { release: string; component: string });
    assert.ok(own.length > 0 && own.every(({ release, component }) => release === second && component === 'web'));
    assert.equal((await machine.cairn('logs', 'staging', '--component', 'none')).stdout, '');
    assert.equal((await machine.cairn('logs', 'staging', '--since', '2090-01-01T00:00:00Z')).stdout, '');
    for (const [code, ...parameters] of [['unknown-environment', 'nowhere'], ['not-found', 'production'], ['usage', 'staging', '--since', 'soon'], ['unknown-reference', 'staging', '--release', 'v1']]) {
      assert.equal(((await machine.cairn('logs', ...parameters, '--json')).json as { error: { code: string } }).error.code, code, parameters.join(' '));
    }
    const following = spawn(process.execPath, [join(top, 'bin/cairn.js'), 'logs', 'staging', '-f', '-n', '0'], { cwd: machine.repository, env: machine.environment, stdio: ['ignore', 'pipe', 'inherit'] });
    const next = once(following.stdout.setEncoding('utf8'), 'data') as Promise<[string]>;
    // Behind its start, so that what comes is followed and not found.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await machine.change('three');
    await promote(await machine.release());
    assert.match((await next)[0], / web \d+ [0-9a-f]{12} /);
    following.kill();
    await once(following, 'exit');
  });

  await t.test('a home restored elsewhere serves the same digest, knows the same log, and rolls back', async () => {
    const before = await live();
    const file = join(machine.folder, 'home.tar');
    const { log } = await json<{ log: { size: number; root: string } }>('backup', file, '--data');
    await machine.stop();
    await rename(machine.home, `${machine.home}-old`);
    await rename(file, `${file}x`);
    await json('restore', `${file}x`);
    await machine.startUp();
    assert.equal(await live(), before);
    const now = await json<{ log: { size: number; checkpoint: string } }>('status');
    assert.deepEqual([now.log.size, now.log.checkpoint], [log.size, `sha256:${log.root}`]);
    await json('audit');
    await machine.stop();
    // And under another path: launches name folders by their whole path.
    const elsewhere = join(machine.folder, 'elsewhere');
    await json('restore', `${file}x`, '--home', elsewhere);
    await rename(machine.home, `${machine.home}-again`);
    machine.environment['CAIRN_HOME'] = elsewhere;
    await machine.startUp();
    assert.equal(await live(), before);
    const back = await json<{ revision: { release: string } }>('rollback', 'staging', '--reason', 'to see it');
    assert.equal(await live(), back.revision.release);
    assert.notEqual(await live(), before);
    await json('audit');
  });
});
