// A web component asks little: listen where HOST and PORT say, answer its health path, and on SIGTERM finish what was begun.
import { createServer } from 'node:http';
import ms from 'ms';

const { HOST = '127.0.0.1', PORT = '3000', GREETING = 'hello', CAIRN_RELEASE } = process.env;
const started = performance.now();
let stopping = false;

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  if (pathname === '/healthz') answer(response, 200, { healthy: true });
  else if (pathname === '/') answer(response, 200, { greeting: GREETING, release: CAIRN_RELEASE ?? null, pid: process.pid });
  else answer(response, 404, { error: 'not found' });
});

function answer(response, status, body) {
  const headers = { 'content-type': 'application/json' };
  // A connection that is kept would keep the process.
  if (stopping) headers.connection = 'close';
  response.writeHead(status, headers).end(`${JSON.stringify(body)}\n`);
}

process.once('SIGTERM', () => {
  stopping = true;
  server.close(() => {
    console.log(`stopped after ${ms(Math.round(performance.now() - started))}`);
    process.exit(0);
  });
});

server.listen(Number(PORT), HOST, () => {
  const { address, port } = server.address();
  console.log(`listening on http://${address}:${port}`);
});
