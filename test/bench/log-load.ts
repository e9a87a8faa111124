import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { Pool } from 'undici';

// The load of the log's benchmark, in a process of its own: everything is signed first, then so many connections write at once, each
// again as soon as it was answered. Prints one JSON document.

const [url = '', token = '', route = '', count = '', connections = ''] = process.argv.slice(2);
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256', publicKeyEncoding: { type: 'spki', format: 'der' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } });
const given = process.env['CAIRN_BENCH_KEY'];
const privateKey = given ?? pair.privateKey;
const key = process.env['CAIRN_BENCH_PUBLIC'] ?? pair.publicKey.toString('base64');
const mark = createHash('sha256').update(pair.publicKey).digest('hex');

/** A signed digest, as cosign sends it. */
function entry(at: number): string {
  const message = Buffer.from(`${mark} ${at}`);
  const digest = createHash('sha256').update(message).digest('base64');
  const content = sign('sha256', message, privateKey).toString('base64');
  return JSON.stringify({ hashedRekordRequestV002: { digest, signature: { content, verifier: { publicKey: { rawBytes: key }, keyDetails: 'PKIX_ECDSA_P256_SHA_256' } } } });
}

/** A statement that counts, in an envelope, as `cairn attest` sends it. */
function statement(at: number): string {
  const subject = [{ digest: { sha256: createHash('sha256').update(`${mark} ${at}`).digest('hex') }, name: 'shop' }];
  const payload = Buffer.from(JSON.stringify({ _type: 'https://in-toto.io/Statement/v1', predicate: { commits: [], since: null }, predicateType: 'https://cairn.internal/notes/v1', subject }));
  const type = 'application/vnd.in-toto+json';
  const pae = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.byteLength} `), payload]);
  return JSON.stringify({ envelope: { payload: payload.toString('base64'), payloadType: type, signatures: [{ sig: sign('sha256', pae, privateKey).toString('base64') }] }, key });
}

const make = route === '/api/v2/log/entries' ? entry : statement;
const bodies = Array.from({ length: Number(count) }, (_, at) => make(at));
const pool = new Pool(url, { connections: Number(connections), pipelining: 1 });
const times: number[] = [];
let next = 0;
const start = performance.now();
await Promise.all(
  Array.from({ length: Number(connections) }, async () => {
    for (let body = bodies[next++]; body !== undefined; body = bodies[next++]) {
      const begun = performance.now();
      const answer = await pool.request({ path: route, method: 'POST', body, headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` } });
      const text = await answer.body.text();
      if (answer.statusCode !== 201) throw new Error(`${answer.statusCode} ${text}`);
      times.push(performance.now() - begun);
    }
  }),
);
const took = (performance.now() - start) / 1000;
await pool.close();
times.sort((a, b) => a - b);
process.stdout.write(JSON.stringify({ perSecond: times.length / took, p50: times[times.length >> 1], p99: times[Math.floor(times.length * 0.99)] }));
