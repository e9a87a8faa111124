// The shop's `web` component. It asks little of whatever runs it: listen where HOST and PORT say, answer the health path, and on
// SIGTERM finish what was begun.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';
import { assetNames, assetsFolder } from '../lib/assets.js';
import { basketKeeper } from '../lib/basket.js';
import { openOrders, ordersFolder } from '../lib/orders.js';
import { linesOf, productOf, totalOf } from '../lib/products.js';
import { orderEvents } from './events.js';
import { pagesFor } from './pages.js';
import { bodyOf, ClientError } from './request.js';

const { HOST = '127.0.0.1', PORT = '3000', CURRENCY = 'EUR', GREETING = 'Welcome', CAIRN_RELEASE = 'none' } = process.env;
const orders = await openOrders(ordersFolder);
const baskets = basketKeeper();
const pages = pagesFor({ asset: assetNames(), currency: CURRENCY, greeting: GREETING, release: CAIRN_RELEASE });
const events = orderEvents(orders);
const streams = new Set();
let stopping = false;

const routes = [
  ['GET', /^\/healthz$/, async (request, response) => {
    // Healthy is who can take an order.
    await orders.writable();
    answer(response, 200, { healthy: true });
  }],
  ['GET', /^\/$/, (request, response) => html(response, 200, pages.shop(basketOf(request)))],
  ['GET', /^\/products\/([a-z]+)$/, (request, response, [id]) => {
    const product = productOf(id);
    if (product === undefined) throw new ClientError(404, 'There is no such product.');
    html(response, 200, pages.product(product, basketOf(request)));
  }],
  ['GET', /^\/basket$/, (request, response) => html(response, 200, pages.basket(basketOf(request)))],
  ['POST', /^\/basket$/, async (request, response) => {
    const { id } = await bodyOf(request);
    seeOther(response, '/basket', linesOf([...basketOf(request), { id, quantity: 1 }]));
  }],
  ['POST', /^\/basket\/empty$/, async (request, response) => {
    await bodyOf(request);
    seeOther(response, '/basket', []);
  }],
  ['POST', /^\/checkout$/, async (request, response) => {
    const { id } = await order((await bodyOf(request)).name, basketOf(request));
    seeOther(response, `/orders/${id}`, []);
  }],
  ['GET', /^\/orders\/(\w+)$/, async (request, response, [id]) => html(response, 200, pages.order(await placed(id)))],
  ['GET', /^\/orders\/(\w+)\/receipt$/, async (request, response, [id]) => {
    const receipt = await orders.receipt(id);
    if (receipt === undefined) throw new ClientError(404, 'This receipt is not written yet.');
    response.writeHead(200, { ...common(), 'content-type': 'text/plain; charset=utf-8' }).end(receipt);
  }],
  ['POST', /^\/api\/orders$/, async (request, response) => {
    const { name, items } = await bodyOf(request);
    answer(response, 201, await order(name, linesOf(items)));
  }],
  ['GET', /^\/api\/orders\/(\w+)$/, async (request, response, [id]) => answer(response, 200, await placed(id))],
  ['GET', /^\/events$/, (request, response, parts, url) => {
    streams.add(response);
    response.once('close', () => streams.delete(response));
    events.listen(request, response, url.searchParams.get('order'));
  }],
];
// On a desk nobody stands in front of us who serves the assets.
if (CAIRN_RELEASE === 'none') {
  const kinds = { css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };
  routes.push(['GET', /^\/assets\/([\w.-]+)$/, (request, response, [name]) => {
    const bytes = readFileSync(join(assetsFolder, 'assets', basename(name)));
    response.writeHead(200, { 'content-type': kinds[name.split('.').at(-1)] ?? 'text/plain' }).end(bytes);
  }]);
}

const server = createServer(async (request, response) => {
  try {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const route = routes.find(([verb, path]) => verb === method && path.test(url.pathname));
    if (route === undefined) throw new ClientError(404, 'There is no such page.');
    await route[2](request, response, route[1].exec(url.pathname).slice(1), url);
  } catch (error) {
    const { status, message } = error instanceof ClientError ? error : { status: 500, message: 'That did not work.' };
    if (status === 500) console.error(error);
    if (response.headersSent) response.destroy();
    else if (request.url?.startsWith('/api/')) answer(response, status, { error: message });
    else html(response, status, pages.problem(status === 404 ? 'Not found' : 'Sorry', message));
  }
});

async function order(name, lines) {
  if (typeof name !== 'string' || name.trim() === '' || name.length > 80) throw new ClientError(400, 'A name is needed, of up to 80 characters.');
  if (lines.length === 0) throw new ClientError(400, 'There is nothing to order.');
  const { id } = await orders.place({ name: name.trim(), lines, placed: new Date().toISOString() });
  return { id, total: totalOf(lines), state: 'new' };
}

async function placed(id) {
  const found = await orders.find(id);
  if (found === undefined) throw new ClientError(404, 'There is no such order.');
  return found;
}

function basketOf(request) {
  return baskets.read(request.headers.cookie);
}

function common() {
  // A connection that is kept would keep the process.
  return { 'cache-control': 'no-store', ...(stopping && { connection: 'close' }) };
}

function answer(response, status, body) {
  response.writeHead(status, { ...common(), 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

function html(response, status, text) {
  const policy = "default-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'";
  response.writeHead(status, { ...common(), 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy }).end(text);
}

function seeOther(response, location, basket) {
  response.writeHead(303, { ...common(), location, 'set-cookie': baskets.cookie(basket) }).end();
}

process.once('SIGTERM', () => {
  stopping = true;
  server.close(() => process.exit(0));
  // A stream never ends by itself. Its browser comes back at once and meets the release that is live then.
  for (const stream of streams) stream.end();
});

server.listen(Number(PORT), HOST, () => {
  const { address, port } = server.address();
  console.log(`listening on http://${address}:${port}`);
});
