import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { library } from '../support/library.ts';
import { top } from '../support/machine.ts';
import { witnessFor } from '../support/witness.ts';

// The guide of two people who run each other's witness, block by block, with the real thing.

const guide = await readFile(join(top, 'docs/guides/witnesses.md'), 'utf8');
const blocks = (kind: string) => [...guide.matchAll(new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, text = '']) => text);

interface Draft {
  witnesses?: { name: string; key: string; url: string }[];
  environments: { rules: unknown[] }[];
}

async function until(what: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (await what()) return;
    await sleep(50);
  }
  assert.fail('it did not come to pass');
}

test('the guide to witnesses says what is so', async (t) => {
  const shop = await library(t);
  const bob = await library(t);
  const [ours, theirs] = [await witnessFor(t, 'witness.ada.example.com'), await witnessFor(t, 'witness.bob.example.com')];
  await cp(join(bob.repository, 'cairn.trust.json'), join(shop.repository, 'bob.trust.json'));
  const [witnesses, rule] = blocks('yaml').map((text) => parse(text) as unknown);

  const ran: string[] = [];
  for (const line of blocks('sh').flatMap((block) => block.trimEnd().split('\n'))) {
    ran.push(line);
    const [command = '', file] = line.split(' > ');
    const words = command.split(' ').slice(1);
    if (words[0] === 'witness') {
      assert.deepEqual(words, ['witness', '--name', ours.name, '--log', 'bob.trust.json']);
      await ours.up({ logs: [join(shop.repository, 'bob.trust.json')] });
      await theirs.up({ logs: [join(shop.repository, 'cairn.trust.json')] });
      continue;
    }
    // Witnesses follow within a moment; who looks sooner sees that they wait.
    if (words[0] === 'status') await until(() => shop.ledger.checkpoint().then(async (newest) => (await fetch(`${shop.url}/checkpoint`).then((answer) => answer.text())) !== newest?.note));
    const answer = await shop.cairn(...words);
    assert.equal(answer.code, 0, `${line}: ${answer.stdout}${answer.stderr}`);
    if (file !== undefined) {
      const draft = parse(answer.stdout) as Draft;
      draft.witnesses = (witnesses as Draft).witnesses?.map((one) => ({ ...one, key: theirs.vkey, url: theirs.url })) ?? [];
      for (const one of draft.environments) one.rules.push(...(rule as unknown[]));
      await writeFile(join(shop.repository, file), stringify(draft));
    }
    if (words[1] === 'propose') {
      const { release } = await shop.release({ files: { 'server.js': 'one\n' }, message: 'Start' });
      for (const environment of ['staging', 'production'] as const) assert.equal((await shop.promote(release, environment)).revision.state, 'confirmed');
    }
    if (words[0] === 'status') assert.match(answer.stdout, /witness +bob +cosigned/);
    if (words[0] === 'verify') assert.match(answer.stdout, /witnesses +1 of 1 have seen all of it +bob/);
    if (words[1] === 'evidence') assert.match(answer.stdout, /no log has shown this machine two histories/);
  }
  assert.equal(ran.length, 7, ran.join('\n'));
});

test('what the guide quotes is what is said', async () => {
  const said = (await Promise.all(['asker', 'question', 'witness'].map((name) => readFile(join(top, `src/witness/${name}.ts`), 'utf8')))).join('');
  const quoted = [...guide.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell = '']) => cell.split(', ')).map((one) => one.replaceAll('`', '').replace(/^unreachable: /, ''));
  assert.ok(quoted.length >= 8);
  for (const one of quoted) assert.ok(said.includes(one), one);
});
