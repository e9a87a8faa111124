import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, type Digest } from '#core';
import { formatVkey, noteKey } from '#log';
import type { Policy, Rule } from '#policy';
import type { Witnesses } from '#release';
import { generateSigner } from '#sign';
import { Decisions, type Asking } from '../src/release/decisions.ts';
import { application, governed, governedPolicy, revocation, signedBy, type World } from './support/governed.ts';

const key = formatVkey(noteKey('w.example.com', 4, generateSigner('ed25519').publicKey));
const under = (...rules: Rule[]): Policy => ({ ...governedPolicy({ rules: [{ kind: 'provenance', role: 'builder', blocksRollback: true }, ...rules] }), witnesses: [{ name: 'w', key, url: 'http://127.0.0.1:1' }] });
const witnessed = (blocksRollback: boolean): Rule => ({ kind: 'witnessed', threshold: 1, blocksRollback });

async function asking(world: World, release: Digest, change: Partial<Asking> = {}): Promise<Asking> {
  const environment = 'production';
  return { release, content: digestOf('content'), environment, direction: 'promote', by: 'ada', schema: null, timeline: await world.ledger.timeline(application, environment), document: await world.document(release), ...change };
}

/** What the witnesses are asked, and what happens meanwhile. */
function recording(meanwhile: () => Promise<unknown> = async () => {}) {
  const asked: { threshold: number; limitMs: number }[] = [];
  const witnesses: Witnesses = {
    covering: async (size, threshold, limitMs) => {
      asked.push({ threshold, limitMs });
      if (limitMs > 0) await meanwhile();
      return { witnessed: { size: size + 100, witnesses: ['w'] }, sources: [] };
    },
  };
  return { asked, witnesses };
}

test('a release that is revoked while its witnesses are waited for is not let in', async (t) => {
  const world = await governed(t, under(witnessed(false)));
  const release = await world.release('one');
  const { witnesses } = recording(() => world.ledger.commit([signedBy('sue', revocation('sue', { release }))]));
  const { decision } = await new Decisions({ ...world.options, witnesses }).decide(await asking(world, release), { fresh: true });
  assert.equal(decision.passed, false);
  assert.equal(decision.rules.find(({ rule }) => rule === 'not-revoked')?.passed, false);
});

test('witnesses are waited for where something is decided by them, and only there', async (t) => {
  const cases: readonly [Rule[], Partial<Asking>, boolean, boolean][] = [
    [[witnessed(false)], {}, true, true],
    [[witnessed(false)], {}, false, false],
    [[], {}, true, false],
    [[witnessed(false)], { direction: 'rollback' }, true, false],
    [[witnessed(true)], { direction: 'rollback' }, true, true],
    [[{ kind: 'cel', name: 'seen', expression: 'witnessed.covers', blocksRollback: false }], {}, true, true],
  ];
  for (const [rules, change, fresh, waits] of cases) {
    const world = await governed(t, under(...rules));
    const release = await world.release('one');
    const { asked, witnesses } = recording();
    await new Decisions({ ...world.options, witnesses }).decide(await asking(world, release, change), { fresh });
    assert.deepEqual(asked.map(({ limitMs }) => limitMs > 0), [waits], JSON.stringify([rules, change, fresh]));
    assert.ok((asked[0]?.limitMs ?? 0) <= (change.direction === 'rollback' ? 2000 : 8000));
  }
});
