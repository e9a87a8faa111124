import assert from 'node:assert/strict';
import { test } from 'node:test';
import { basketKeeper } from '../lib/basket.js';

const lines = [{ id: 'trio', quantity: 2, price: 1600 }];

test('a basket comes back from its cookie', () => {
  const baskets = basketKeeper('key');
  assert.deepEqual(baskets.read(`other=1; ${baskets.cookie(lines)}`), lines);
});

test('a basket that somebody changed, or signed with another key, is empty', () => {
  const cookie = basketKeeper('key').cookie(lines);
  assert.deepEqual(basketKeeper('another').read(cookie), []);
  assert.deepEqual(basketKeeper('key').read(cookie.replace('basket=', 'basket=A')), []);
  assert.deepEqual(basketKeeper('key').read(undefined), []);
});
