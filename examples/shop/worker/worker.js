// Takes one order at a time and writes its receipt. Cairn runs the worker of one release only: the old one stops before the new
// one starts, so no two of them ever take the same order.
import { setTimeout as sleep } from 'node:timers/promises';
import { openOrders, ordersFolder } from '../lib/orders.js';
import { money, productOf, totalOf } from '../lib/products.js';

const { CURRENCY = 'EUR', CAIRN_RELEASE = 'none' } = process.env;
const orders = await openOrders(ordersFolder);
const stopping = new AbortController();
// What is begun is finished: the signal only ends the waiting.
process.once('SIGTERM', () => stopping.abort());
console.log('waiting for orders');

while (!stopping.signal.aborted) {
  const order = await orders.take();
  if (order === undefined) {
    await sleep(200, undefined, { signal: stopping.signal }).catch(() => {});
    continue;
  }
  await orders.finish(order.id, receiptOf(order));
  console.log(`order ${order.id} done`);
}
console.log('stopped');

function receiptOf({ id, name, lines }) {
  const rows = lines.map(({ id: product, quantity, price }) => {
    const what = productOf(product)?.name ?? product;
    return `${String(quantity).padStart(4)} x ${what}  ${money(quantity * price, CURRENCY)}`;
  });
  return [`Receipt ${id}`, `for ${name}`, '', ...rows, '', `Total ${money(totalOf(lines), CURRENCY)}`, `by release ${CAIRN_RELEASE}`, ''].join('\n');
}
