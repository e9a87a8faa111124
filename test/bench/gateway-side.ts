import { createServer } from 'node:net';
import type { Digest } from '#core';
import { createGateway, type Backend } from '#gateway';

// What the gateway's benchmark runs in processes of their own: `backend`, which answers with as little work as can be, or
// `gateway PORT PORT`, Cairn's with two releases at equal weights. Each prints its port.

const [role, ...ports] = process.argv.slice(2);
const say = (port: number | undefined) => process.stdout.write(`${port}\n`);

if (role === 'backend') {
  const body = 'x'.repeat(512);
  const answer = Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: Tue, 24 Nov 2026 12:00:00 GMT\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    // No proxy sends a second request before the first is answered, and none of these has a body.
    socket.on('data', (bytes: Buffer) => {
      if (bytes.subarray(-4).equals(Buffer.from('\r\n\r\n'))) socket.write(answer);
    });
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (address !== null && typeof address === 'object') say(address.port);
  });
} else {
  const digest = (letter: string) => `sha256:${letter.repeat(64)}` as Digest;
  const gateway = createGateway({ clock: { now: () => new Date(), elapsed: () => performance.now() } });
  const split = ports.map((port, at) => {
    const backend: Backend = { application: 'shop', component: 'web', content: digest('ab'[at] ?? 'c'), release: digest('de'[at] ?? 'f'), origins: [`http://127.0.0.1:${port}`], directory: null };
    return { backend, weight: 100 / ports.length };
  });
  gateway.route('production', [{ host: null, path: '/', split, assets: null }]);
  say((await gateway.listen('production', '127.0.0.1', 0)).port);
  process.on('message', () => process.send?.(gateway.metrics()));
}
// Whoever started us is gone: so are we.
process.once('disconnect', () => process.exit());
