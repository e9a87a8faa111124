import assert from 'node:assert/strict';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { predicateTypes, subjectOf } from '#attest';
import { generateSigner } from '#sign';
import { library, sign } from '../support/library.ts';

// One thing is changed in a copy of a whole home, as a failing disk or an intruder would; audit names it and what mends it.

interface Damage {
  readonly name: string;
  /** What one of the findings must say. */
  readonly found: RegExp;
  harm(home: string, database: DatabaseSync): Promise<void> | void;
}

test('audit finds whatever was changed, and says what mends it', async (t) => {
  const shop = await library(t);
  const first = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
  const second = await shop.release({ files: { 'server.js': 'two\n' }, message: 'Go on' });
  for (const { release } of [first, second]) await shop.promote(release, 'staging');
  const { components } = await shop.json<{ components: { layers: { digest: string }[] }[] }>('show', first.release);
  const layer = components[0]?.layers[1]?.digest.slice(7) ?? '';
  const blob = (home: string, hex: string) => join(home, 'registry/content/blobs/sha256', hex.slice(0, 2), hex);
  const flip = (bytes: Uint8Array, at: number) => Buffer.from(bytes).fill((bytes[at] ?? 0) ^ 1, at, at + 1);
  /** The one value that a query asks for. */
  const value = <T>(database: DatabaseSync, sql: string) => Object.values(database.prepare(sql).get() ?? {})[0] as T;

  const damages: readonly Damage[] = [
    { name: 'a byte of a layer', found: new RegExp(`blob ${layer.slice(0, 12)}: its bytes hash to [0-9a-f]{12}`), harm: async (home) => writeFile(blob(home, layer), flip(await readFile(blob(home, layer)), 30)) },
    { name: 'a blob that is gone', found: new RegExp(`it names ${layer.slice(0, 12)}, which is missing`), harm: (home) => rm(blob(home, layer)) },
    { name: 'a release that is gone', found: /the registry lacks it, though it was let in/, harm: (home) => rm(join(home, 'registry/repositories/shop/_manifests', second.release.slice(7))) },
    {
      name: 'a byte of a leaf', found: /log entry 5: the leaf (is not the one|was made of another)/,
      harm: (_, database) => void database.prepare('update leaves set body = ? where idx = 5').run(flip(value<Uint8Array>(database, 'select body from leaves where idx = 5'), 40)),
    },
    {
      name: 'a byte of an envelope', found: /log entry 5: /,
      harm: (_, database) => void database.prepare('update envelopes set body = ? where idx = 5').run(value<string>(database, 'select body from envelopes where idx = 5').replace(/"payload":"(.{40})./, (_whole, head: string) => `"payload":"${head}_`)),
    },
    {
      name: 'an envelope swapped for another valid one', found: /log entry 5: the envelope is not the one that was logged/,
      harm: (_, database) => void database.prepare('update envelopes set body = ? where idx = 5').run(value<string>(database, 'select body from envelopes where idx = 3')),
    },
    { name: 'an envelope that is gone', found: /log entry 5: the envelope is missing/, harm: (_, database) => void database.exec('delete from envelopes where idx = 5') },
    { name: 'a leaf that is gone', found: /log entry 5: the leaf is missing/, harm: (_, database) => void database.exec('delete from leaves where idx = 5') },
    {
      name: 'a checkpoint swapped for an older one', found: /checkpoint \d+: it is one of \d+ entries/,
      harm: (_, database) => void database.exec('update checkpoints set note = (select note from checkpoints order by size limit 1) where size = (select max(size) from checkpoints)'),
    },
    {
      name: 'a checkpoint with another root', found: /checkpoint \d+: the checkpoint is not signed/,
      harm: (_, database) => {
        const lines = value<string>(database, 'select note from checkpoints order by size desc limit 1').split('\n');
        const note = lines.with(2, Buffer.alloc(32, 7).toString('base64')).join('\n');
        database.prepare('update checkpoints set note = ? where size = (select max(size) from checkpoints)').run(note);
      },
    },
    { name: 'a log cut at its end', found: /the log went back: this machine saw \d+ entries, now there are \d+/, harm: (_, database) => cut(database) },
    {
      name: 'a tile from which proofs are made', found: /log entry 3: the leaf is not the one that the log's tile was made of/,
      harm: (_, database) => void database.prepare('update tiles set hashes = ? where level = 0 and idx = 0').run(flip(value<Uint8Array>(database, 'select hashes from tiles where level = 0 and idx = 0'), 3 * 32 + 1)),
    },
    { name: 'the index', found: /the index is not what the log says/, harm: (_, database) => void database.exec("update revisions set state = 'confirmed' where number = 1") },
    {
      name: 'a page of the ledger', found: /./,
      harm: async (home, database) => {
        database.close();
        const path = join(home, 'ledger.sqlite');
        const bytes = await readFile(path);
        await writeFile(path, bytes.fill(0xff, 4096, 4096 * 6));
      },
    },
    {
      name: 'a line of the journal', found: /journal line 2: it does not follow the line before it/,
      harm: async (home) => {
        const zero = `sha256:${'0'.repeat(64)}`;
        await writeFile(join(home, 'runner/journal.jsonl'), `{"previous":"${zero}","sequence":1}\n{"previous":"${zero}","sequence":2}\n`);
      },
    },
  ];

  for (const { name, found, harm } of damages) {
    await t.test(name, async () => {
      const home = join(shop.folder, 'harmed');
      await cp(shop.home.paths.root, home, { recursive: true });
      const database = new DatabaseSync(join(home, 'ledger.sqlite'));
      database.exec('pragma wal_checkpoint(truncate)');
      await harm(home, database);
      if (database.isOpen) database.close();
      const ran = await shop.cairnAt({ home }, 'audit', '--json');
      await rm(home, { recursive: true });
      const { error } = ran.json as { error: { message: string; fix: string | null; context: { findings?: { what: string; fix: string }[] } } };
      const findings = error.context.findings ?? [{ what: error.message, fix: error.fix ?? '' }];
      assert.ok(ran.code === 4 || ran.code === 6, `${ran.code} ${ran.stdout}`);
      assert.ok(findings.some(({ what }) => found.test(what)), JSON.stringify(findings, null, 1));
      assert.ok(findings.every(({ fix }) => fix !== ''), 'every finding says what mends it');
    });
  }

  await t.test('statements of keys that may not make them are found, though the log has them in order', async () => {
    const stranger = generateSigner('ecdsa');
    await shop.ledger.commit([sign({ predicateType: predicateTypes.tests, subject: [subjectOf('shop', first.release)], predicate: { result: 'PASSED' } }, stranger)]);
    const approval = { application: 'shop', environment: 'staging', by: 'bob', expires: '2090-01-01T00:00:00Z', reason: null };
    await shop.ledger.commit([sign({ predicateType: predicateTypes.approval, subject: [subjectOf('shop', first.release)], predicate: approval }, shop.signer)]);
    const incident = { operation: 'x', application: 'shop', environment: 'staging', code: 'x', what: 'x' };
    await shop.ledger.commit([sign({ predicateType: predicateTypes.incident, subject: [subjectOf('shop', first.release)], predicate: incident }, shop.signer)]);
    // One that claims a known key: the log took it as it came.
    const tests = { predicateType: predicateTypes.tests, subject: [subjectOf('shop', first.release)], predicate: { result: 'PASSED', more: 1 } };
    await shop.ledger.commit([{ ...sign(tests, stranger), key: sign(tests, shop.signer).key }]);
    const { context } = await shop.fails(4, 'verification-failed', 'audit');
    const all = (context['findings'] as { what: string }[]).map(({ what }) => what);
    assert.match(all[0] ?? '', /the signature does not belong to the statement/);
    const whats = all.slice(1);
    assert.equal(whats.length, 3, whats.join('\n'));
    assert.match(whats[0] ?? '', /signed by a key that the policy does not know/);
    assert.match(whats[1] ?? '', /it says it is by bob, its key is of ada/);
    assert.match(whats[2] ?? '', /it is not signed by the record key/);
    const { stderr } = await shop.cairn('audit');
    assert.match(stderr, /error verification-failed: 4 findings in \d+ log entries and all blobs/);
  });
});

function cut(database: DatabaseSync): void {
  const sizes = database.prepare('select size from checkpoints order by size desc limit 2').all() as { size: number }[];
  const size = sizes[1]?.size ?? 0;
  for (const table of ['leaves', 'envelopes', 'statements', 'subjects']) database.exec(`delete from ${table} where idx >= ${size}`);
  database.exec(`delete from checkpoints where size > ${size}`);
  database.prepare('update tiles set hashes = substr(hashes, 1, ?) where level = 0').run(size * 32);
}
