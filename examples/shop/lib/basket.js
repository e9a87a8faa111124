// The basket travels in a cookie, so that every instance of every release can read it. It is signed: prices and quantities are
// ours to set. When SESSION_KEY changes, baskets signed with the old one are empty, and nothing worse.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { linesOf } from './products.js';

/** Without a key (on a desk) there is one for as long as the process lives. */
export function basketKeeper(key = process.env.SESSION_KEY ?? randomBytes(32).toString('hex')) {
  const sign = (text) => createHmac('sha256', key).update(text).digest('base64url');

  return {
    read(cookies = '') {
      const [, text = '', signature = ''] = /(?:^|;\s*)basket=([\w-]*)\.([\w-]*)/.exec(cookies) ?? [];
      const [ours, theirs] = [Buffer.from(sign(text)), Buffer.from(signature)];
      if (ours.length !== theirs.length || !timingSafeEqual(ours, theirs)) return [];
      return linesOf(JSON.parse(Buffer.from(text, 'base64url').toString()));
    },

    cookie(lines) {
      const text = Buffer.from(JSON.stringify(lines.map(({ id, quantity }) => ({ id, quantity })))).toString('base64url');
      return `basket=${text}.${sign(text)}; Path=/; HttpOnly; SameSite=Lax; Max-Age=604800`;
    },
  };
}
