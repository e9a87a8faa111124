import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Finds those that vanished without a word: a WebSocket may be silent for days. */
const probeMs = 60_000;

/** Two sockets that are one from now on; `closed` once both are. Each side's end is passed on, and the death of one ends both. */
export function tunnel(client: Duplex, application: Socket, closed: () => void): void {
  let open = 2;
  const both: readonly [Duplex, Duplex][] = [[client, application], [application, client]];
  for (const [one, other] of both) {
    // Its `close` follows.
    one.on('error', () => {});
    one.on('close', () => {
      other.destroy();
      if (--open === 0) closed();
    });
    one.pipe(other);
  }
  application.setKeepAlive(true, probeMs);
  if ('setKeepAlive' in client) (client as Socket).setKeepAlive(true, probeMs);
}
