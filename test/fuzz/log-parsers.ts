import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { parseBundle, type Bundle } from '#attest';
import { CairnError } from '#core';
import { formatProof, parseProof, parseTilePath, readRekorRequest, tilePath } from '#log';
import { corpus, type Parser } from './engine.ts';
import { hold, parse } from './known.ts';

// What anybody on the network may send to a log, and what is sent around about its entries.

const bundles: readonly Bundle[] = corpus('bundle').map(parseBundle);
const entries = bundles.map((one) => one.verificationMaterial.tlogEntries[0]);
const text = (value: string) => Buffer.from(value);

interface Body {
  readonly spec: { readonly hashedRekordV002: { readonly data: { readonly digest: string }; readonly signature: { readonly content: string; readonly verifier: object } } };
}
const bodies = entries.map(({ canonicalizedBody }) => (JSON.parse(Buffer.from(canonicalizedBody, 'base64').toString()) as Body).spec.hashedRekordV002);
const digests = new Set(bodies.map(({ data }) => data.digest));

export const logParsers: readonly Parser[] = [
  {
    name: 'rekor-request', grammar: fc.json({ maxDepth: 6 }),
    corpus: bodies.map(({ data, signature }) => text(JSON.stringify({ hashedRekordRequestV002: { digest: data.digest, signature } }))),
    run: (bytes) => {
      const { body } = readRekorRequest(parse(bytes));
      hold(digests.has((JSON.parse(body.toString()) as Body).spec.hashedRekordV002.data.digest), 'a digest that nobody signed would be logged');
    },
  },
  {
    name: 'tlog-proof',
    corpus: entries.map((entry) => text(formatProof({ index: Number(entry.logIndex), body: Buffer.from(entry.canonicalizedBody, 'base64'), hashes: entry.inclusionProof.hashes.map((hash) => Buffer.from(hash, 'base64')), note: entry.inclusionProof.checkpoint.envelope }))),
    run: (bytes) => hold(text(formatProof(parseProof(bytes.toString('utf8')))).equals(text(bytes.toString('utf8'))), 'a proof is not what its parts say'),
  },
  {
    name: 'tile-path', corpus: ['tile/0/000', 'tile/0/x001/x234/067', 'tile/entries/000.p/3', 'tile/5/x123/456.p/255'].map(text), grammar: fc.stringMatching(/^tile\/([0-9]{1,2}|entries)(\/x[0-9]{1,4}){0,4}\/[0-9]{3}(\.p\/[0-9]{1,3})?$/),
    run: (bytes) => {
      const path = bytes.toString('utf8');
      const read = parseTilePath(path);
      if (read === undefined) throw new CairnError('not-found', 'no tile');
      hold(isDeepStrictEqual(tilePath(read.level, read.index, read.width), path) && read.width >= 1 && read.width <= 256 && Number.isSafeInteger(read.index), 'one tile has two paths');
    },
  },
];
