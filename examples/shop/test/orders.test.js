import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openOrders } from '../lib/orders.js';

async function folder(t) {
  const made = await mkdtemp(join(tmpdir(), 'shop-'));
  t.after(() => rm(made, { recursive: true, force: true }));
  return made;
}

test('an order is new, then worked on, then done with a receipt', async (t) => {
  const orders = await openOrders(await folder(t));
  const { id } = await orders.place({ name: 'Ada', lines: [] });
  assert.equal((await orders.find(id)).state, 'new');
  assert.equal((await orders.take()).id, id);
  assert.equal((await orders.find(id)).state, 'working');
  await orders.finish(id, 'paid');
  assert.equal((await orders.find(id)).state, 'done');
  assert.equal(await orders.receipt(id), 'paid');
  assert.equal(await orders.take(), undefined);
});

test('what a killed worker left is taken first by the next one', async (t) => {
  const path = await folder(t);
  const { id } = await (await openOrders(path)).place({ name: 'Ada', lines: [] });
  await (await openOrders(path)).take();
  const after = await openOrders(path);
  await after.place({ name: 'Bob', lines: [] });
  assert.equal((await after.take()).id, id);
});

test('a path is no order number', async (t) => {
  const orders = await openOrders(await folder(t));
  assert.equal(await orders.find('../schema'), undefined);
  assert.equal(await orders.receipt('../schema'), undefined);
});
