import { createServer } from 'node:http';
import ms from 'ms';

const started = performance.now();

const server = createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok\n');
  response.setHeader('content-type', 'application/json');
  response.end(`${JSON.stringify({ greeting: process.env.GREETING ?? 'hello', release: process.env.CAIRN_RELEASE, up: ms(Math.round(performance.now() - started)) })}\n`);
});

server.listen(Number(process.env.PORT), process.env.HOST ?? '127.0.0.1');

// Asked to stop: take nothing new, finish what is under way.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
