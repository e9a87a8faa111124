import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { sha256 } from '#core';
import { cosignedAt, formatVkey, noteKey, parseNote, parseTreeHead, parseVkey } from '#log';
import { generateSigner } from '#sign';
import { library } from '../support/library.ts';
import { freePorts } from '../support/machine.ts';
import { witnessFor } from '../support/witness.ts';
import { outside, pathOf, skipWithout } from './tools.ts';

// Both ends of C2SP tlog-witness against other people's: litewitness is asked by our log, Tessera's log asks our witness.

/** Starts a tool and waits for what it prints. */
async function started(t: TestContext, tool: string, parameters: readonly string[], ready: RegExp, cwd: string): Promise<string> {
  const child: ChildProcess = spawn(pathOf(tool), parameters, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once('exit', resolve));
  });
  return new Promise((resolve, reject) => {
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (part: string) => ready.test((text += part)) && resolve(text));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${tool} ended with ${code}: ${text}`)));
  });
}

test('litewitness witnesses our log, and a release is let in by its word', { skip: skipWithout('litewitness', 'ssh-agent', 'ssh-add', 'ssh-keygen'), timeout: 120_000 }, async (t) => {
  const folder = await mkdtemp('/tmp/cairn-lw-');
  t.after(() => rm(folder, { recursive: true, force: true }));
  const agent = join(folder, 'agent.sock');
  await started(t, 'ssh-agent', ['-D', '-a', agent], /SSH_AUTH_SOCK/, folder);
  assert.equal((await outside('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'key'))).code, 0);
  assert.equal((await outside('env', `SSH_AUTH_SOCK=${agent}`, pathOf('ssh-add'), '-q', join(folder, 'key'))).code, 0);
  const [, fingerprint = ''] = (await outside('ssh-keygen', '-lf', join(folder, 'key.pub'))).stdout.split(' ');
  const port = await freePorts(1);
  const said = await started(t, 'litewitness', ['-name', 'lite.example.com', '-db', 'lite.db', '-ssh-agent', agent, '-key', fingerprint, '-listen', `127.0.0.1:${port}`], /msg=listening/, folder);
  const [, vkey = ''] = /vkey=(\S+)/.exec(said) ?? [];
  const url = `http://127.0.0.1:${port}`;

  const shop = await library(t, (genesis) => ({
    ...genesis, witnesses: [{ name: 'lite', key: vkey, url }],
    environments: genesis.environments.map((one) => ({ ...one, rules: [...one.rules, { kind: 'witnessed', threshold: 1, blocksRollback: false }] })),
  }));
  // Its own tool for this is not to be had everywhere: what that would write.
  const database = new DatabaseSync(join(folder, 'lite.db'), { timeout: 5000 });
  database.prepare('insert into log (origin, tree_size, tree_hash) values (?, 0, ?)').run(shop.log.origin, sha256('').toString('base64'));
  database.prepare('insert into key (origin, key) values (?, ?)').run(shop.log.origin, formatVkey(noteKey(shop.log.origin, 1, shop.log.log)));
  database.close();

  const { release } = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
  const moved = await shop.promote(release, 'staging');
  assert.equal(moved.revision.state, 'confirmed');
  const { witnesses } = await shop.json<{ witnesses: { name: string; size: number }[] }>('verify', release);
  assert.deepEqual(witnesses.map(({ name }) => name), ['lite']);
  // It grew: a proof of ours was checked by others.
  assert.ok(Number(witnesses[0]?.size) > 3);
});

test("Tessera's log asks our witness, again and again", { skip: skipWithout('posix-oneshot'), timeout: 120_000 }, async (t) => {
  const folder = await mkdtemp('/tmp/cairn-tw-');
  t.after(() => rm(folder, { recursive: true, force: true }));
  const origin = 'tessera.example.com';
  const signer = generateSigner('ed25519');
  const key = noteKey(origin, 1, signer.publicKey);
  const seed = Buffer.from(signer.privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  await writeFile(join(folder, 'log.key'), `PRIVATE+KEY+${origin}+${key.id}+${Buffer.concat([Buffer.from([1]), seed]).toString('base64')}`);
  const witness = await witnessFor(t, 'ours.example.com');
  await writeFile(join(folder, 'policy'), `witness ours ${witness.vkey} ${witness.url}\nquorum ours\n`);
  await mkdir(join(folder, 'log'));
  const add = async (name: string, count: number) => {
    await mkdir(join(folder, name));
    for (let at = 0; at < count; at++) await writeFile(join(folder, name, String(at)), `${name} ${at}`);
    return outside('posix-oneshot', '--storage_dir', join(folder, 'log'), '--private_key', join(folder, 'log.key'), '--witness_policy_file', join(folder, 'policy'), '--entries', join(folder, name, '*'));
  };
  await witness.up({ logs: [formatVkey(key)] });
  let size = 0;
  for (const [name, count] of [['first', 1], ['second', 6], ['third', 300]] as const) {
    const ran = await add(name, count);
    assert.equal(ran.code, 0, ran.stderr);
    size += count;
    const note = parseNote(await readFile(join(folder, 'log/checkpoint'), 'utf8'));
    assert.equal(parseTreeHead(note.text).size, size);
    assert.ok(cosignedAt(note, parseVkey(witness.vkey)), `${size} entries, cosigned`);
  }
});
