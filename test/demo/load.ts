import { Agent, request } from 'node:http';

/** Constant load: each connection asks again as soon as it was answered. A failure is anything but a whole 200. */
export function startLoad(url: string, connections: number): { stop(): Promise<{ requests: number; failed: number }> } {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let [requests, failed, running] = [0, 0, true];
  const once = () =>
    new Promise<boolean>((resolve) => {
      request(url, { agent }, (response) => {
        response.once('error', () => resolve(false));
        response.resume().once('end', () => resolve(response.statusCode === 200 && response.headers['cairn-release'] !== undefined));
      })
        .once('error', () => resolve(false))
        .end();
    });
  const lanes = Array.from({ length: connections }, async () => {
    while (running) {
      requests++;
      if (!(await once())) failed++;
    }
  });
  return {
    stop: async () => {
      running = false;
      await Promise.all(lanes);
      agent.destroy();
      return { requests, failed };
    },
  };
}
