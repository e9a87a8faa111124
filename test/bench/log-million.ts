import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { exportLog, inclusionRoot, leafHash, readCheckpoint, vkey } from '#log';
import { anEntry, aStatement, emptyLog } from './log.ts';
import type { Report } from './bench.ts';

// One million entries: how long they take, what Tessera's fsck says of the export, and how long a proof takes at that size. Some
// minutes and two gigabytes.

const run = promisify(execFile);
const proofs = 2_000;
const slowestMs = 2;
const writers = 200;

export async function logMillion(count: number, say: (line: string) => void): Promise<Report> {
  const folder = await mkdtemp('/tmp/cairn-bench-million-');
  const missed: string[] = [];
  try {
    const path = join(folder, 'ledger.sqlite');
    const { ledger, keys } = await emptyLog(path);
    const start = performance.now();
    let left = count;
    const write = async () => {
      while (left > 0) {
        left--;
        if (left % 100_000 === 0) say(`${(count - left).toLocaleString('en')} entries, ${((performance.now() - start) / 1000).toFixed(0)} s`);
        // One in a hundred counts.
        await (left % 100 === 0 ? ledger.commit([aStatement()]) : ledger.log(anEntry()));
      }
    };
    await Promise.all(Array.from({ length: writers }, write));
    const took = (performance.now() - start) / 1000;
    const checkpoint = await ledger.checkpoint();
    if (checkpoint === undefined) throw new Error('no checkpoint');
    const { size, root } = readCheckpoint(checkpoint.note, { origin: keys.origin, log: keys.log.publicKey, time: keys.time.publicKey });

    say('proofs');
    // In three passes, between which everything that was read is forgotten for others: whoever shares the processor stops no proof three times.
    const first: number[] = [];
    const best = Array.from({ length: proofs }, () => Infinity);
    for (let pass = 0; pass < 3; pass++) {
      for (let at = 0; at < proofs; at++) {
        const index = Math.floor((at * size * 0.618_033_988_7) % size);
        const begun = performance.now();
        const hashes = await ledger.inclusion(index, size);
        const spent = performance.now() - begun;
        if (pass === 0) first.push(spent);
        best[at] = Math.min(best[at] ?? Infinity, spent);
        if (pass > 0) continue;
        const [body] = await ledger.bodies(index, index + 1);
        if (inclusionRoot(leafHash(body ?? Buffer.alloc(0)), index, size, hashes.map((hash) => Buffer.from(hash, 'base64')))?.equals(root) !== true) missed.push(`the proof of entry ${index} does not hold`);
      }
    }
    first.sort((a, b) => a - b);
    const slowest = Math.max(...best);

    say('export');
    const tree = join(folder, 'static');
    const exporting = performance.now();
    await exportLog(ledger, checkpoint, tree);
    const exported = (performance.now() - exporting) / 1000;
    await writeFile(join(folder, 'log.vkey'), `${vkey(keys.origin, keys.log.publicKey)}\n`);
    await ledger.close();

    say("Tessera's fsck");
    const fsck = [process.env['TOOLS'] ?? join(homedir(), '.cache/cairn-tools/bin'), '/usr/local/bin'].map((one) => join(one, 'fsck')).find((one) => existsSync(one));
    const said = fsck === undefined ? 'not installed' : await run(fsck, [`--storage_url=file://${tree}`, `--public_key=${join(folder, 'log.vkey')}`, '--ui=false', '-N=4'], { timeout: 1_800_000, maxBuffer: 64 << 20 }).then(({ stderr }) => stderr, String);
    const clean = said.includes("Successfully fsck'd log with size");
    if (fsck !== undefined && !clean) missed.push(`fsck: ${said.slice(-300)}`);
    if (slowest >= slowestMs) missed.push(`a proof takes ${slowest.toFixed(2)} ms, ${slowestMs} ms are the target`);
    const rows = [
      ['entries', size.toLocaleString('en')], ['written', `${took.toFixed(0)} s, ${Math.round(count / took).toLocaleString('en')} a second, ${writers} writers`], ['ledger', `${((await stat(path)).size / 1e6).toFixed(0)} MB`],
      ['proof, any', `median ${(first[first.length >> 1] ?? 0).toFixed(2)} ms, p99 ${(first[Math.floor(first.length * 0.99)] ?? 0).toFixed(2)} ms`], ['proof, the slowest in the best of three passes', `${slowest.toFixed(2)} ms`],
      ['export', `${exported.toFixed(0)} s`], ["Tessera's fsck", fsck === undefined ? 'not installed' : clean ? 'finds nothing' : 'finds damage'],
    ];
    return { title: `Log of ${size.toLocaleString('en')} entries, ${proofs} proofs`, tables: [{ columns: ['what', 'is'], rows }], missed };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
