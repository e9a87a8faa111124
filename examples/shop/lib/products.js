// What is sold. Prices are whole cents: money in floating point loses some.

/** `stones`: widths from top to bottom, for the drawing. */
export const products = Object.freeze([
  { id: 'pebble', name: 'Pebble', price: 400, text: 'One stone, chosen by hand. Fits in a pocket.', stones: [46], tint: 32 },
  { id: 'pair', name: 'Pair', price: 900, text: 'Two stones that found each other on the same beach.', stones: [34, 58], tint: 18 },
  { id: 'trio', name: 'Trio', price: 1600, text: 'The smallest cairn that people stop to look at.', stones: [28, 48, 66], tint: 205 },
  { id: 'waymark', name: 'Waymark', price: 2900, text: 'Four stones. Seen from the next bend of the path.', stones: [24, 38, 58, 74], tint: 150 },
  { id: 'summit', name: 'Summit', price: 4800, text: 'Five stones for the top of something you climbed.', stones: [20, 34, 46, 64, 82], tint: 265 },
  { id: 'lantern', name: 'Lantern', price: 6200, text: 'Five stones with room for a candle. Candle included.', stones: [40, 22, 52, 70, 84], tint: 48 },
]);

const byId = new Map(products.map((one) => [one.id, one]));

export function productOf(id) {
  return byId.get(id);
}

/** The lines that can be sold out of what a stranger sent: known products, one to ninety-nine of each. */
export function linesOf(items) {
  const wanted = new Map();
  for (const item of Array.isArray(items) ? items.slice(0, 100) : []) {
    const [id, quantity] = [item?.id, Number(item?.quantity)];
    if (byId.has(id) && Number.isInteger(quantity) && quantity > 0) wanted.set(id, Math.min(99, (wanted.get(id) ?? 0) + quantity));
  }
  return [...wanted].map(([id, quantity]) => ({ id, quantity, price: byId.get(id).price }));
}

export function totalOf(lines) {
  return lines.reduce((sum, { quantity, price }) => sum + quantity * price, 0);
}

export function money(cents, currency) {
  return new Intl.NumberFormat('en', { style: 'currency', currency }).format(cents / 100);
}
