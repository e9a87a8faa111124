import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { CairnError } from '#core';

// Below the range from which kernels take ports for outgoing connections (32768 and up on Linux): our own connections to
// applications would otherwise take, under load, the port that an application is about to open.
const first = 20_000;
const last = 32_000;

const given = new Set<number>();

/**
 * A loopback port that nobody listens on, given once at a time: two instances that start together never get the same. Another
 * program may still take it before the instance does; the instance then fails to start and is started with another.
 */
export async function takePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(first, last);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
    given.delete(port);
  }
  throw new CairnError('port-taken', `no free port was found from ${first} to ${last}`, { fix: 'Stop programs that listen there', retryable: true });
}

export function releasePort(port: number): void {
  given.delete(port);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
    return true;
  } catch {
    return false;
  }
}
