import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { toyLog, toyWitness } from './fixture.ts';
import { formatAddCheckpoint } from './request.ts';
import { serveWitness } from './serve.ts';
import type { Answer } from './witness.ts';

async function served(t: TestContext, add?: (body: Uint8Array) => Answer) {
  const log = await toyLog();
  await log.grow(9);
  const witness = await toyWitness(t, [log]);
  const reported: string[] = [];
  const server = await serveWitness({ host: '127.0.0.1', port: 0, add: add ?? witness.add, requestMs: 500, report: ({ message }) => reported.push(message) });
  t.after(() => server.close());
  return { log, witness, server, reported };
}

test('a witness answers over HTTP with the status and the types that the specification has', async (t) => {
  const { log, server } = await served(t);
  const post = (body: string) => fetch(`${server.url}/add-checkpoint`, { method: 'POST', body });
  const good = await post(formatAddCheckpoint(0, [], await log.note(9, 1)));
  assert.deepEqual([good.status, (await good.text()).startsWith('\u2014 witness.example.com ')], [200, true]);
  const conflict = await post(formatAddCheckpoint(0, [], await log.note(9, 1)));
  assert.deepEqual([conflict.status, conflict.headers.get('content-type'), await conflict.text()], [409, 'text/x.tlog.size', '9\n']);
  assert.equal((await post('old 0\n')).status, 400);
  assert.equal((await fetch(`${server.url}/add-checkpoint`)).status, 405);
  assert.equal((await fetch(server.url)).status, 404);
});

test('a request that does not end is given up, and one that is too large is turned away before it is read', async (t) => {
  const { server } = await served(t);
  const answer = await fetch(`${server.url}/add-checkpoint`, { method: 'POST', body: 'old 0\n'.repeat(100_000) }).then(({ status }) => status, () => 413);
  assert.equal(answer, 413);
  const port = Number(new URL(server.url).port);
  const heard = await new Promise<string>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 100\r\n\r\nold'));
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => (text += chunk)).on('error', reject).on('close', () => resolve(text));
  });
  assert.match(heard, /^HTTP\/1\.1 408 /);
});

test('a witness that cannot remember vouches for nothing', async (t) => {
  const { log, server, reported } = await served(t, () => {
    throw new Error('the disk is gone');
  });
  const answer = await fetch(`${server.url}/add-checkpoint`, { method: 'POST', body: formatAddCheckpoint(0, [], await log.note(9, 1)) });
  assert.deepEqual([answer.status, await answer.text()], [500, 'the witness cannot remember it now\n']);
  assert.deepEqual(reported, ['the disk is gone']);
});

test('a port that is taken is named', async (t) => {
  const { server } = await served(t);
  await assert.rejects(serveWitness({ host: '127.0.0.1', port: Number(new URL(server.url).port), add: () => { throw new Error('never'); }, report: () => {} }), { code: 'port-taken' });
});
