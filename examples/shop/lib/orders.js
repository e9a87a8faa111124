// Orders are files in a folder that outlives every release: `web` writes them, `worker` takes them. A file moves from folder to
// folder by a rename, which is whole or did not happen: a process killed at any instant loses no order and makes none twice.
import { access, constants, mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { customAlphabet } from 'nanoid';

/** Numbers that people can read out on the telephone: no letter that looks like another. */
const newId = customAlphabet('23456789ABCDEFGHJKLMNPQRSTUVWXYZ', 8);
const idForm = /^[2-9A-HJ-NP-Z]{8}$/;
const states = ['done', 'working', 'new'];

/** Under Cairn the folder is given; on a desk it is ./data/orders. */
export const ordersFolder = process.env.CAIRN_DATA_ORDERS ?? join(import.meta.dirname, '../data/orders');

export async function openOrders(folder) {
  await Promise.all([...states, 'receipts'].map((state) => mkdir(join(folder, state), { recursive: true })));
  const path = (state, id) => join(folder, state, `${id}.json`);
  const idsIn = async (state) => (await readdir(join(folder, state))).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5));

  let queue = [];

  return {
    writable: () => access(folder, constants.W_OK),

    /** Returns once the order is on the disk: only then may the customer be told. */
    async place(order) {
      const placed = { id: newId(), ...order };
      await writeWhole(folder, path('new', placed.id), JSON.stringify(placed));
      return placed;
    },

    async find(id) {
      if (!idForm.test(id)) return undefined;
      // In the order opposite to its way: one that moves on while we look is still met.
      for (const state of states.toReversed()) {
        const text = await readFile(path(state, id), 'utf8').catch(() => undefined);
        if (text !== undefined) return { ...JSON.parse(text), state };
      }
      return undefined;
    },

    /** The next order to work on: first one that a killed worker left, then those that came in. */
    async take() {
      const [left] = await idsIn('working');
      if (left === undefined && queue.length === 0) queue = await idsIn('new');
      const id = left ?? queue.shift();
      if (id === undefined) return undefined;
      if (left === undefined) await rename(path('new', id), path('working', id));
      return JSON.parse(await readFile(path('working', id), 'utf8'));
    },

    /** The receipt first, then the move: killed in between, the same receipt is written again. */
    async finish(id, receipt) {
      await writeWhole(folder, join(folder, 'receipts', `${id}.txt`), receipt);
      await rename(path('working', id), path('done', id));
    },

    async receipt(id) {
      return idForm.test(id) ? readFile(join(folder, 'receipts', `${id}.txt`), 'utf8').catch(() => undefined) : undefined;
    },

    async counts() {
      const [done, working, waiting] = await Promise.all(states.map(async (state) => (await idsIn(state)).length));
      return { waiting, working, done };
    },
  };
}

/** Written beside, made durable, then renamed: no reader ever meets half a file. */
async function writeWhole(folder, path, text) {
  const beside = join(folder, `.${newId()}.tmp`);
  const file = await open(beside, 'wx');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
}
