// Brings the data folder to the schema that this release writes. A task runs once, before anything of a release takes traffic.
// Only ever add: the release before must be able to read what is here, or nobody could roll back to it. When a release can no
// longer do that, raise `schema.minimum` in cairn.yaml, and Cairn refuses the way back instead of breaking the data.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openOrders, ordersFolder } from '../lib/orders.js';

const schema = 1;

await mkdir(ordersFolder, { recursive: true });
const file = join(ordersFolder, 'schema');
const found = Number(await readFile(file, 'utf8').catch(() => '0'));
if (found > schema) {
  console.error(`the data has schema ${found}; this release knows up to ${schema}`);
  process.exit(1);
}
// To schema 1: the folders.
await openOrders(ordersFolder);
if (found < schema) {
  await writeFile(`${file}.tmp`, `${schema}\n`);
  await rename(`${file}.tmp`, file);
}
console.log(`schema ${found} -> ${schema}`);
