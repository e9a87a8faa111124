// Server-sent events: one look at the folder every half second, however many people listen.

export function orderEvents(orders) {
  const listeners = new Set();
  let timer;

  const tell = async () => {
    const counts = await orders.counts();
    for (const listener of listeners) await listener(counts).catch(() => {});
  };

  return {
    /** Without an order: how many wait and are done. With one: its state, until it is done. */
    listen(request, response, id) {
      // A connection that is kept would keep the process, after the stream has ended.
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'close' });
      // Browsers come back by themselves, and then meet whichever release is live.
      response.write('retry: 1000\n\n');
      let last;
      const listener = async (counts) => {
        const now = id === null ? JSON.stringify(counts) : ((await orders.find(id))?.state ?? 'unknown');
        response.write(now === last ? ': still here\n\n' : `event: ${id === null ? 'orders' : 'state'}\ndata: ${now}\n\n`);
        last = now;
      };
      listeners.add(listener);
      timer ??= setInterval(() => void tell(), 500);
      request.once('close', () => {
        listeners.delete(listener);
        if (listeners.size === 0) timer = clearInterval(timer);
      });
      void tell();
    },
  };
}
