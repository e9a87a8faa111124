import { join } from 'node:path';
import { call, type Reply } from './quick.ts';

// Loads next to nothing of ours: it runs while the rest of a command is being loaded.

const { existsSync, readFileSync } = process.getBuiltinModule('node:fs');

/** What bytes hash to, by the digest under which they rest. */
type Hashed = ReadonlyMap<string, { readonly digest: string; readonly size: number }>;

/** Waits for what was begun. Nobody who does not ask waits. */
export type Ahead = () => Promise<Hashed>;

/**
 * Begins to hash what a release is made of, in a thread of its own, before anything about the release is known to be true: which files those
 * are is read from its manifests as they lie there. What comes out is only what bytes hash to. Whoever checks the release afterwards asks for
 * exactly the digests that it found to belong to it, and hashes itself what is not among these.
 */
export function hashAhead(home: string, release: string): Ahead | undefined {
  const pathOf = (digest: string) => join(home, 'registry', 'content', 'blobs', 'sha256', digest.slice(7, 9), digest.slice(7));
  try {
    const blobs = new Set<string>();
    const { manifests } = JSON.parse(readFileSync(pathOf(release), 'utf8')) as Parts;
    for (const { digest } of (manifests ?? []).slice(0, mostManifests)) {
      const { config, layers = [] } = JSON.parse(readFileSync(pathOf(digest), 'utf8')) as Parts;
      for (const one of [...(config === undefined ? [] : [config]), ...layers]) if (form.test(one.digest) && existsSync(pathOf(one.digest))) blobs.add(one.digest);
    }
    return inThread([...blobs].map((digest) => [digest, pathOf(digest)]));
  } catch {
    // Missing or malformed: the check says so, in words.
    return undefined;
  }
}

/** Answers of the control server, by path. */
export type Early = Map<string, Promise<Reply>>;

/** Asks what any check of a release asks, so that the answers come while the check is being loaded. Nothing in them is believed for that. */
export function askAhead(home: string, release: string): Early {
  try {
    const { host, port } = JSON.parse(readFileSync(join(home, 'cairn.json'), 'utf8')) as { host: string; port: number };
    const headers = `host: ${host}:${port}\r\nauthorization: Bearer ${readFileSync(join(home, 'token'), 'utf8').trim()}`;
    return new Map(['info', 'policies', `statements/${release}`, 'revocations'].map((name) => {
      const reply = call({ host, port }, `/api/v1/${name}`, headers);
      // Whoever asks for it hears of it.
      reply.catch(() => {});
      return [`/api/v1/${name}`, reply];
    }));
  } catch {
    return new Map();
  }
}

const form = /^sha256:[0-9a-f]{64}$/;
const mostManifests = 1000;

interface Parts {
  readonly manifests?: readonly { readonly digest: string }[];
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
}

function inThread(files: readonly (readonly [digest: string, path: string])[]): Ahead {
  const { Worker } = process.getBuiltinModule('node:worker_threads');
  // As text, so that there is no file to be found: a bundle has none.
  const worker = new Worker(`(${hashFiles.toString()})()`, { eval: true, workerData: files, stdout: false, stderr: false });
  const hashed = new Promise<Hashed>((resolve) => {
    const found = new Map<string, { digest: string; size: number }>();
    worker.on('message', ([name, digest, size]: [string, string, number]) => void found.set(name, { digest, size }));
    // One that dies has hashed what it has hashed.
    worker.once('error', () => resolve(found)).once('exit', () => resolve(found));
  });
  worker.unref();
  return () => {
    worker.ref();
    return hashed;
  };
}

/** Runs in the thread, and sees nothing of this file. */
function hashFiles(): void {
  const { closeSync, openSync, readSync } = process.getBuiltinModule('node:fs');
  const { createHash } = process.getBuiltinModule('node:crypto');
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads');
  const buffer = Buffer.allocUnsafeSlow(1 << 20);
  for (const [name, path] of workerData as [string, string][]) {
    try {
      const file = openSync(path, 'r');
      const hash = createHash('sha256');
      let size = 0;
      for (let read = readSync(file, buffer); read > 0; read = readSync(file, buffer)) {
        hash.update(buffer.subarray(0, read));
        size += read;
      }
      closeSync(file);
      // A thread's port, not a window's.
      // oxlint-disable-next-line unicorn/require-post-message-target-origin
      parentPort?.postMessage([name, `sha256:${hash.digest('hex')}`, size]);
    } catch {
      // It is hashed by whoever wants it, who says what is wrong.
    }
  }
}
