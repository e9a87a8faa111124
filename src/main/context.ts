import type { Context, System } from '#cli';
import { faultsFrom, homeDirectory, platform, systemClock, version } from './system.ts';

// What the commands are lent of the world. What only some of them need is loaded when it is used: `cairn status` is asked all day long.

const system: System = {
  environment: process.env,
  directory: process.cwd(),
  home: homeDirectory(process.env),
  version,
  nodeBinary: process.execPath,
  platform: platform(),
  clock: systemClock,
  faults: faultsFrom(process.env),
  colour: process.stdout.isTTY === true && (process.env['NO_COLOR'] ?? '') === '',
  random: (bytes) => process.getBuiltinModule('node:crypto').randomBytes(bytes).toString('hex'),
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  showing: (line) => {
    const { isTTY, columns = 80 } = process.stderr;
    // oxlint-disable-next-line no-control-regex
    if (isTTY) process.stderr.write(`\r\u001b[K${line?.replaceAll(/[\u0000-\u001f\u007f]/g, ' ').slice(0, Math.max(columns, 20) - 1) ?? ''}`);
  },
  untilInterrupted,
  askSecret,
  readInput: async () => (await process.stdin.setEncoding('utf8').toArray()).join(''),
  up: async () => {
    const { up } = await import('./up.ts');
    await up((line) => process.stdout.write(`${line}\n`));
  },
  systemdUnit: async () => {
    const [{ cairnPath, systemdUnit }, { userInfo }] = await Promise.all([import('./systemd.ts'), import('node:os')]);
    const { uid, username } = userInfo();
    return systemdUnit({ node: process.execPath, cairn: cairnPath, home: homeDirectory(process.env), user: uid === 0 ? null : username });
  },
};

function untilInterrupted(): AbortSignal {
  const controller = new AbortController();
  let since = 0;
  const asked = () => {
    // Whoever asks again means it. A terminal tells both the script and us, which is once.
    if (controller.signal.aborted && performance.now() - since > 1000) process.exit(130);
    if (!controller.signal.aborted) since = performance.now();
    controller.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, asked);
  return controller.signal;
}

async function askSecret(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const [{ createInterface }, { Writable }] = await Promise.all([import('node:readline/promises'), import('node:stream')]);
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}

// Whoever reads may stop early, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});
export const context: Context = { process: process as Context['process'], system };
