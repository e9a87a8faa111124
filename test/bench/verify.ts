import { existsSync, readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { bundleFromJSON } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { parseBundle, type Bundle } from '#attest';
import { canonicalJson } from '#core';
import { trustedRoot } from '#log';
import { generateSigner, spkiOf } from '#sign';
import { parseSigstoreRoot, seedRoot, verifyBundle, verifyForeign } from '#verify';
import { logInMemory, signed } from '../../src/verify/fixture.ts';
import { folder as conformance } from '../conformance/sigstore.ts';
import type { Report } from './bench.ts';

// How many bundles are verified a second, each from its bytes, in one thread, with keys, roots and code warm: our own with a key and
// a log entry; the same by our reader of other tools' bundles and by @sigstore/verify; and keyless ones of public-good Sigstore.

const target = 5000;
const many = 1000;

export async function verify(count: number, say: (line: string) => void): Promise<Report> {
  const [busy = 0] = loadavg();
  const ada = generateSigner('ecdsa');
  const spki = spkiOf(ada.publicKey);
  const keys = [spki.toString('base64')];
  const log = logInMemory();
  const bytesOf = (bundles: readonly Bundle[]) => bundles.map((one) => canonicalJson(one));
  const shared = bytesOf(await log.log(...Array.from({ length: many }, (_, at) => [signed(`shared-${at}`, ada), ada] as const)));
  const own: Buffer[] = [];
  for (let at = 0; at < many; at += 1) own.push(...bytesOf(await log.log([signed(`own-${at}`, ada), ada])));

  const ours = { log: log.verifier, keys };
  const rootText = canonicalJson(trustedRoot(log.verifier, '2026-01-01T00:00:00Z'));
  const foreign = { root: parseSigstoreRoot(rootText), keys };
  const material = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(rootText.toString())), { [ada.hint]: { rawBytes: spki, keyDetails: 5, validFor: undefined } });
  const theirs = new Verifier(material, { tlogThreshold: 1, timestampThreshold: 0, ctlogThreshold: 0 });
  const byLibrary = (verifier: Verifier) => (text: Uint8Array) => void verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(Buffer.from(text).toString()))));

  const rows: string[][] = [];
  const measure = (name: string, texts: () => readonly Buffer[], run: (text: Buffer) => void): number => {
    const rates: number[] = [];
    const busy: number[] = [];
    // The first round makes it warm.
    for (let round = -1; round < count; round += 1) {
      const list = texts();
      const [began, worked] = [performance.now(), process.cpuUsage()];
      for (const text of list) run(text);
      if (round < 0) continue;
      rates.push((list.length * 1000) / (performance.now() - began));
      const { user, system } = process.cpuUsage(worked);
      busy.push((list.length * 1e6) / (user + system));
    }
    const middle = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
    const median = middle(rates);
    rows.push([name, ...[median, Math.min(...rates), Math.max(...rates), middle(busy)].map((rate) => Math.round(rate).toString())]);
    say(`${name}: ${Math.round(median)} a second`);
    return median;
  };
  const headline = measure('key + log: Cairn, its own bundles', () => shared, (text) => void verifyBundle(parseBundle(text), ours));
  // A verifier that is new has met no checkpoint yet: each bundle costs three signatures.
  measure('key + log: Cairn, every checkpoint met for the first time', () => own, (text) => void verifyBundle(parseBundle(text), { ...ours, log: { ...log.verifier } }));
  measure('key + log: Cairn, read as another tool’s', () => shared.slice(0, 200), (text) => void verifyForeign(text, foreign));
  measure('key + log: @sigstore/verify', () => shared.slice(0, 200), byLibrary(theirs));
  const sample = join(conformance, 'bundle-verify/happy-path-intoto-in-dsse-v3/bundle.sigstore.json');
  if (existsSync(sample)) {
    const keyless = Array.from({ length: 50 }, () => readFileSync(sample));
    const root = seedRoot();
    measure('keyless: Cairn', () => keyless, (text) => void verifyForeign(text, { root }));
    measure('keyless: @sigstore/verify', () => keyless, byLibrary(new Verifier(toTrustMaterial(TrustedRoot.fromJSON(root.json)))));
  } else {
    say(`keyless: left out, test material is not at hand: ${sample}`);
  }
  return {
    title: `Verifications a second, warm, from bytes, one thread; median of ${count} rounds (the machine's load before: ${busy.toFixed(1)})`,
    tables: [{ columns: ['bundles', 'median', 'least', 'most', 'a second of CPU'], rows }],
    figures: [{ what: 'verification, warm, key + log', target: `>= ${target} a second`, figure: Math.round(headline).toString(), met: headline >= target }],
    missed: headline < target ? [`${Math.round(headline)} verifications a second for key + log, fewer than ${target}`] : [],
  };
}
