// Pages: plain HTML made from strings. Whatever came from outside goes through `text`.
import { money, productOf, products, totalOf } from '../lib/products.js';

export function pagesFor({ asset, currency, greeting, release }) {
  const price = (cents) => `<span class="price">${text(money(cents, currency))}</span>`;

  const page = (title, body, basket = []) => {
    const count = basket.reduce((sum, { quantity }) => sum + quantity, 0);
    return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(title)}</title>
<link rel="icon" href="${asset('cairn.svg')}">
<link rel="stylesheet" href="${asset('style.css')}">
</head>
<body>
<header>
<a class="brand" href="/"><img src="${asset('cairn.svg')}" alt="" width="28" height="28"> The Cairn Shop</a>
<nav><a href="/basket">Basket${count > 0 ? ` <b>${count}</b>` : ''}</a></nav>
</header>
<main>
${body}
</main>
<footer>Release <code>${text(release.replace('sha256:', '').slice(0, 12))}</code></footer>
</body>
</html>
`;
  };

  return {
    shop: (basket) =>
      page(
        'The Cairn Shop',
        `<section class="hero"><h1>${text(greeting)}</h1><p>Stones, stacked with care, sent flat.</p></section>
<ul class="grid">
${products.map((one) => `<li class="card">
<a href="/products/${one.id}">${drawing(one)}<h2>${text(one.name)}</h2></a>
<p>${price(one.price)}</p>${addForm(one.id, 'Add')}
</li>`).join('\n')}
</ul>`,
        basket,
      ),

    product: (one, basket) =>
      page(
        one.name,
        `<article class="product"><div class="card">${drawing(one)}</div>
<div><h1>${text(one.name)}</h1><p>${text(one.text)}</p><p>${price(one.price)}</p>${addForm(one.id, 'Add to basket')}</div></article>`,
        basket,
      ),

    basket: (basket) =>
      page(
        'Basket',
        basket.length === 0
          ? '<h1>Basket</h1><p>There is nothing in it. <a href="/">Have a look around.</a></p>'
          : `<h1>Basket</h1>
${table(basket, price)}
<form class="checkout" method="post" action="/checkout">
<label>Name <input name="name" required maxlength="80" autocomplete="name"></label>
<button>Order for ${text(money(totalOf(basket), currency))}</button>
</form>
<form method="post" action="/basket/empty"><button class="quiet">Empty the basket</button></form>`,
        basket,
      ),

    /** The script turns the state when the worker is done; without a script, reloading does. */
    order: (order) =>
      page(
        `Order ${order.id}`,
        `<h1>Thank you, ${text(order.name)}</h1>
<p>Order <code>${order.id}</code> is <strong data-order="${order.id}">${order.state}</strong>. <a href="/orders/${order.id}/receipt">Receipt</a></p>
${table(order.lines, price)}
<script type="module" src="${asset('shop.js')}"></script>`,
      ),

    problem: (title, what) => page(title, `<h1>${text(title)}</h1><p>${text(what)} <a href="/">Back to the shop.</a></p>`),
  };
}

function table(lines, price) {
  const row = (...cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  const rows = lines.map(({ id, quantity, price: each }) => row(quantity, text(productOf(id)?.name ?? id), price(quantity * each)));
  return `<table>${rows.join('')}<tr class="total"><td></td><td>Total</td><td>${price(totalOf(lines))}</td></tr></table>`;
}

function addForm(id, label) {
  return `<form method="post" action="/basket"><input type="hidden" name="id" value="${id}"><button>${label}</button></form>`;
}

/** A stack of stones, from the ground up. */
function drawing({ name, stones, tint }) {
  let y = 108;
  const shapes = stones.toReversed().map((width, at) => {
    const height = 12 + width / 9;
    y -= height - 1;
    const x = 60 - width / 2 + (at % 2 === 0 ? 1.5 : -1.5);
    return `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="${height / 2}" fill="hsl(${tint} 14% ${42 + at * 8}%)"/>`;
  });
  return `<svg viewBox="0 0 120 120" role="img" aria-label="${text(name)}"><ellipse cx="60" cy="110" rx="46" ry="4" class="ground"/>${shapes.join('')}</svg>`;
}

function text(value) {
  return String(value).replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
