import { createPrivateKey } from 'node:crypto';
import fc from 'fast-check';
import { canonicalJson } from '#core';
import { consistencyProof, cosign, formatVkey, judgeEvidence, makeEvidence, noteKey, parseEvidence, parseNote, parseTreeHead, parseVkey, rootAt } from '#log';
import { signerFrom } from '#sign';
import { parseAddCheckpoint } from '#witness';
import { toyLog } from '../../src/witness/fixture.ts';
import { parseLogs } from '../../src/witness/known-logs.ts';
import { formatAddCheckpoint } from '../../src/witness/request.ts';
import type { Parser } from './engine.ts';
import { hold } from './known.ts';

// What a witness is sent by anybody, and what is sent around about logs. Ed25519 signs alike each time: the corpus is made, not kept.

const seeded = (byte: number) => signerFrom(createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, byte)]), format: 'der', type: 'pkcs8' }));

const origin = 'log.example.com';
const log = await toyLog(origin, { origin, log: seeded(1), time: seeded(2) });
await log.grow(300);
const witness = { name: 'w.example.com', signer: seeded(3) };
const witnessKey = noteKey(witness.name, 4, witness.signer.publicKey);
const points = [[1, 100], [7, 107], [8, 108], [200, 300], [256, 356], [300, 400]] as const;
const notes = await Promise.all(points.map(async ([size, time]) => {
  const note = await log.note(size, time);
  return note + cosign(witness, parseNote(note).text, time);
}));
const pairs = await Promise.all(points.flatMap(([small], at) => points.slice(at).map(async ([large], behind) => {
  const proof = small === large ? null : { root: (await rootAt(log.tiles, small)).toString('base64'), hashes: (await consistencyProof(log.tiles, small, large)).map((hash) => hash.toString('base64')) };
  return Buffer.from(canonicalJson(makeEvidence({ origin, earlier: notes[at] ?? '', later: notes[at + behind] ?? '', proof, witnesses: [formatVkey(witnessKey)] })));
})));
const proofs = pairs.flatMap((one) => parseEvidence(one).proof ?? []);
const roots = [...new Set([...proofs.map(({ root }) => root), ...notes.map((one) => parseTreeHead(parseNote(one).text).root.toString('base64'))])];
const requests = await Promise.all(points.slice(1).map(async ([size], at) => Buffer.from(formatAddCheckpoint(points[at]?.[0] ?? 0, await log.consistency(points[at]?.[0] ?? 0, size), notes[at + 1] ?? ''))));
const keys = [...log.noteKeys, witnessKey].map(formatVkey);

export const witnessParsers: readonly Parser[] = [
  {
    name: 'add-checkpoint', corpus: requests, grammar: fc.tuple(fc.nat(), fc.array(fc.base64String({ maxLength: 60 }), { maxLength: 70 }), fc.string()).map(([old, proof, note]) => formatAddCheckpoint(old, proof, note)),
    run: (bytes) => {
      const { oldSize, proof, checkpoint } = parseAddCheckpoint(bytes);
      hold(Buffer.from(formatAddCheckpoint(oldSize, proof.map((hash) => hash.toString('base64')), checkpoint)).equals(bytes), 'a request is not what its parts say');
    },
  },
  {
    // All of the corpus was signed by a log and a witness that never lied: nothing that can be made of it may say that they did.
    name: 'log-evidence', corpus: pairs, grammar: fc.tuple(fc.constantFrom(...notes), fc.constantFrom(...notes), fc.constantFrom(null, ...proofs), fc.constantFrom(...roots)).map(([earlier, later, proof, root]) => canonicalJson(makeEvidence({ origin, earlier, later, proof: proof === null ? null : { ...proof, root }, witnesses: [formatVkey(witnessKey)] })).toString('utf8')),
    run: (bytes) => hold(judgeEvidence(parseEvidence(bytes), log.verifier).length === 0, 'an honest log or witness is accused'),
  },
  {
    name: 'verifier-key', corpus: keys.map((one) => Buffer.from(one)), grammar: fc.string(),
    run: (bytes) => hold(formatVkey(parseVkey(bytes.toString('utf8'))) === bytes.toString('utf8'), 'a key is not what its text says'),
  },
  {
    name: 'tree-head', corpus: notes.map((one) => Buffer.from(parseNote(one).text)), grammar: fc.tuple(fc.string(), fc.nat(), fc.base64String({ minLength: 44, maxLength: 44 })).map(([name, size, root]) => `${name}\n${size}\n${root}\n`),
    run: (bytes) => {
      const { origin: name, size, root, extensions } = parseTreeHead(bytes.toString('utf8'));
      hold([name, String(size), root.toString('base64'), ...extensions, ''].join('\n') === bytes.toString('utf8'), 'a tree head is not what its parts say');
    },
  },
  {
    name: 'witnessed-logs', corpus: [Buffer.from(keys.slice(0, 2).map((one) => `log ${one}\n`).join('')), Buffer.from(`# ours\nwitness w ${keys[2]}\nlog ${keys[0]} https://log.example.com\nquorum none\n`)], grammar: fc.string(),
    run: (bytes) => {
      const logs = parseLogs(bytes.toString('utf8'), 'it');
      for (const [name, all] of logs) for (const key of all) hold(key.name === name && bytes.toString('utf8').includes(formatVkey(key)), 'a log that nobody named is witnessed');
    },
  },
];
