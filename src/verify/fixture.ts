import { makeBundle, makeStatement, pae, payloadOf, predicateTypes, signEnvelope, subjectOf, type Bundle, type Envelope, type LogEntry } from '#attest';
import { digestOf } from '#core';
import { appendLeaves, entryBody, formatCheckpoint, inclusionProof, leafHash, logIdOf, rootAt, type LogVerifier, type TileReader } from '#log';
import { generateSigner, spkiOf, type Signer } from '#sign';

/** A log in memory and the bundles of what is logged in it. */
export interface LogOfOne {
  readonly verifier: LogVerifier;
  readonly time: number;
  /** Logs the envelopes; the bundles prove them in the tree that they make. */
  log(...envelopes: readonly (readonly [Envelope, Signer])[]): Promise<Bundle[]>;
  /** Logs leaves as they are. */
  logBodies(...bodies: readonly Buffer[]): Promise<LogEntry[]>;
}

export function logInMemory(origin = 'log-0123.cairn.internal', time = 1_795_500_000, keys = { log: generateSigner('ed25519'), time: generateSigner('ed25519') }): LogOfOne {
  const stored = new Map<string, Buffer>();
  const tiles: TileReader = { tile: (level, index) => Promise.resolve(stored.get(`${level}/${index}`)) };
  let size = 0;
  const logBodies = async (...bodies: readonly Buffer[]): Promise<LogEntry[]> => {
    const first = size;
    for (const write of await appendLeaves(tiles, size, bodies.map(leafHash))) stored.set(`${write.level}/${write.index}`, write.hashes);
    size += bodies.length;
    const root = await rootAt(tiles, size);
    const note = formatCheckpoint({ origin, log: keys.log, time: keys.time }, size, root, time);
    return Promise.all(bodies.map(async (body, at) => {
      const logIndex = String(first + at);
      const hashes = (await inclusionProof(tiles, first + at, size)).map((hash) => hash.toString('base64'));
      return {
        logIndex,
        logId: { keyId: logIdOf(origin, keys.log.publicKey).toString('base64') },
        kindVersion: { kind: 'hashedrekord', version: '0.0.2' },
        integratedTime: '0',
        inclusionProof: { logIndex, rootHash: root.toString('base64'), treeSize: String(size), hashes, checkpoint: { envelope: note } },
        canonicalizedBody: body.toString('base64'),
      };
    }));
  };
  return {
    verifier: { origin, log: keys.log.publicKey, time: keys.time.publicKey },
    time,
    logBodies,
    log: async (...envelopes) => {
      const entries = await logBodies(...envelopes.map(([envelope, signer]) => entryBody(pae(envelope.payloadType, payloadOf(envelope)), envelope.signatures[0].sig, spkiOf(signer.publicKey))));
      return envelopes.map(([envelope, signer], at) => makeBundle(envelope, signer.hint, entries[at] as LogEntry));
    },
  };
}

/** A statement about a release called `name`, signed. */
export function signed(name: string, signer: Signer, predicateType: string = predicateTypes.notes, predicate: unknown = { since: null, commits: [] }): Envelope {
  return signEnvelope(makeStatement({ predicateType, subject: [subjectOf(name, digestOf(name))], predicate }), signer);
}
