import { readFile } from 'node:fs/promises';

const listening = '0A';

/**
 * The users whose sockets listen on a port, as the kernel says (proc(5), /proc/net/tcp). Empty where it does not say. Another
 * application could have taken the port before ours did, and would be answering for it: its health, and then its people.
 */
export async function listeningUsers(port: number): Promise<ReadonlySet<number>> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'latin1').catch(() => '')));
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const users = new Set<number>();
  for (const line of tables.join('').split('\n')) {
    const [, address = '', , state, , , , uid] = line.trim().split(/\s+/);
    if (state === listening && address.endsWith(local)) users.add(Number(uid));
  }
  return users;
}
