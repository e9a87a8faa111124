import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkedBody } from './chunked.ts';
import { backend, opened, rawApplication, whole } from './fixture.ts';
import { MalformedAnswer, parseHead } from './response-head.ts';

const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/);
const value = fc.stringMatching(/^[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?$/);
const special = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade']);

test('a head that is well-formed comes out as it went in', () => {
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 599 }), fc.array(fc.tuple(token, value, fc.stringMatching(/^[\t ]{0,3}$/), fc.stringMatching(/^[\t ]{0,3}$/))), (status, fields) => {
      const plain = fields.filter(([name]) => !special.has(name.toLowerCase()));
      const head = parseHead(`HTTP/1.1 ${status} X\r\n${plain.map(([name, it, before, after]) => `${name}:${before}${it}${after}\r\n`).join('')}`, false);
      assert.equal(head.status, status);
      assert.deepEqual(head.headers, plain.flatMap(([name, it]) => [name, it]));
    }),
  );
});

test('whatever is no head is refused, never taken for one and never a crash', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary-ascii', maxLength: 200 }), (noise) => {
      try {
        parseHead(`${noise}\r\n`, false);
        assert.match(noise, /^HTTP\/1\.[01] [1-5]\d\d/);
      } catch (error) {
        if (!(error instanceof MalformedAnswer)) throw error;
      }
    }),
  );
});

test('a chunked body is the same however it is cut into pieces', () => {
  const chunk = fc.uint8Array({ minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(fc.array(chunk), fc.array(fc.tuple(token, value), { maxLength: 3 }), fc.array(fc.nat(), { maxLength: 20 }), fc.uint8Array({ maxLength: 20 }), (chunks, trailers, cuts, behind) => {
      const bytes = Buffer.concat([...chunks.flatMap((one) => [Buffer.from(`${one.length.toString(16)}\r\n`), one, Buffer.from('\r\n')]), Buffer.from(`0\r\n${trailers.map(([name, it]) => `${name}: ${it}\r\n`).join('')}\r\n`, 'latin1'), behind]);
      const out: Buffer[] = [];
      const body = new ChunkedBody((piece) => out.push(Buffer.from(piece)));
      const borders = [...new Set(cuts.map((cut) => cut % bytes.length)), 0, bytes.length].toSorted((a, b) => a - b);
      let taken = 0;
      for (let at = 0; at + 1 < borders.length; at++) taken += body.take(bytes.subarray(borders[at], borders[at + 1]));
      assert.ok(body.done);
      assert.equal(taken, bytes.length - behind.length);
      assert.deepEqual(Buffer.concat(out), Buffer.concat(chunks));
      assert.deepEqual(body.trailers, trailers.flat());
    }),
  );
});

test("no damaged answer is read otherwise than Node's own parser reads it", async (t) => {
  let bytes = '';
  const origin = await rawApplication(t, (socket) => socket.once('data', () => socket.end(bytes, 'latin1')));
  const { gateway, url } = await opened(t);
  gateway.route('production', whole(backend('one', origin)));
  const read = async (from: string): Promise<string> => {
    const request = httpRequest(new URL(from), { agent: false });
    // What comes behind the answer is an error to it, but the answer stands.
    request.on('error', () => {}).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return `${response.statusCode} ${response.headers['x'] ?? ''} ${await text(response)}`;
  };
  const answers = [
    'HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 12\r\n\r\nhello, world',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: 2\r\n\r\n6\r\nhello,\r\n6\r\n world\r\n0\r\nx-sum: 1\r\n\r\n',
    'HTTP/1.0 200 OK\r\nx: 3\r\n\r\nhello, world',
    'HTTP/1.1 103 Early Hints\r\nx: 9\r\n\r\nHTTP/1.1 404 Not Found\r\nx: 4\r\nconnection: close\r\n\r\nhello',
  ];
  const splinters = ['\r', '\n', '\r\n', '\0', ' ', '\t', ':', ',', '0', '1', 'f', ';', '-', '\x80', 'content-length: 5\r\n', 'transfer-encoding: chunked\r\n', '\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...answers), fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(2), fc.constantFrom('', ...splinters)), { minLength: 1, maxLength: 2 }), async (start, damages) => {
      bytes = start;
      for (const [where, dropped, put] of damages) {
        const at = Math.floor(where * bytes.length);
        bytes = bytes.slice(0, at) + put + bytes.slice(at + dropped);
      }
      const ours = await read(url).catch(() => 'broken');
      if (ours === 'broken' || ours.startsWith('502 ')) return;
      assert.equal(ours, await read(origin).catch((error: Error) => `refused: ${error.message}`), JSON.stringify(bytes));
    }),
    { numRuns: 400 },
  );
});
