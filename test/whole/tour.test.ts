import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { freePorts, top } from '../support/machine.ts';

// The README's tour, command by command, with the real thing. Digests, numbers and times are whatever they are; everything else that
// is printed must be what the README says. UPDATE_TOUR=1 writes the README anew from what was printed.

interface Step {
  readonly command: string;
  readonly printed: string;
}

const execute = promisify(execFile);
const readme = join(top, 'README.md');
const fence = /^```console\n([\s\S]*?)^```$/gm;

function stepsOf(text: string): Step[] {
  return text.split(/^\$ /m).slice(1).map((one) => {
    const end = one.indexOf('\n');
    return { command: one.slice(0, end), printed: one.slice(end + 1) };
  });
}

/** What stays when everything that may differ from run to run is taken out. */
function shape(text: string): string {
  return text
    .split('\n')
    // What a machine can do for applications depends on it, and on who asks.
    .filter((line) => !/^\s*isolation\b/.test(line))
    .map((line) =>
      line
        .replaceAll(/sha256:[0-9a-f]{64}|\b[0-9a-f]{12}\b|\b[0-9a-f]{7}\b/g, '#')
        .replaceAll(/\blog-\S+\.internal\b/g, 'LOG')
        // The one number that must be what it is.
        .replace(/^ *exit (\d)$/, (_, code: string) => `exit ${'abcdefg'[Number(code)]}`)
        .replaceAll(/\d[\d,.]*( (kB|MB|B|ms|s))?/g, '0')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    )
    .filter((line) => line !== '')
    .join('\n');
}

/** A folder of its own as HOME, where `cairn` is a command. */
class Tour {
  readonly #folder: string;
  readonly #ports: ReadonlyMap<string, string>;
  readonly #environment: Record<string, string>;
  /** Of the README's digests, which ours are. */
  readonly #ours = new Map<string, string>();
  #up: ChildProcess | undefined;

  private constructor(folder: string, base: number) {
    this.#folder = folder;
    this.#ports = new Map([['7070', base], ['8081', base + 1], ['8080', base + 2]].map(([shown, real]) => [String(shown), String(real)]));
    const { HOME = '/root', ...rest } = process.env as Record<string, string>;
    const ada = { GIT_AUTHOR_NAME: 'Ada', GIT_AUTHOR_EMAIL: 'ada@example.com', GIT_COMMITTER_NAME: 'Ada', GIT_COMMITTER_EMAIL: 'ada@example.com' };
    this.#environment = {
      // npm keeps the settings that it has on this machine, though it is at home elsewhere.
      NPM_CONFIG_USERCONFIG: join(HOME, '.npmrc'), ...rest, ...ada, HOME: folder, PATH: `${join(folder, 'bin')}:${rest['PATH'] ?? '/usr/bin:/bin'}`,
      CAIRN_HOME: join(folder, '.cairn'), CAIRN_USER: 'ada', CAIRN_PASSPHRASE: 'correct horse', CAIRN_PORT: String(base),
      GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'init.defaultBranch', GIT_CONFIG_VALUE_0: 'main',
    };
  }

  static async make(t: TestContext): Promise<Tour> {
    const folder = await mkdtemp('/tmp/cairn-tour-');
    const tour = new Tour(folder, await freePorts(3));
    t.after(async () => {
      await tour.#stop();
      await execute('chmod', ['-R', 'u+w', folder]);
      await rm(folder, { recursive: true, force: true });
    });
    // As root, applications run as users of their own: they must get through to what they run.
    await chmod(folder, 0o711);
    await mkdir(join(folder, 'bin'));
    await writeFile(join(folder, 'bin/cairn'), `#!/bin/sh\nexec '${process.execPath}' '${join(top, 'bin/cairn.js')}' "$@"\n`, { mode: 0o755 });
    return tour;
  }

  async run({ command, printed }: Step): Promise<string> {
    const real = this.#toReal(command);
    const cwd = command.startsWith('cp ') ? top : join(this.#folder, 'hello');
    if (command === 'cairn up') return this.#startUp(cwd);
    const output = await this.#shell(real, cwd);
    // A watch of seconds is for people who depend on it, not for a test.
    if (command === 'cairn init') await this.#shell("sed -i.bak 's/seconds: 10/seconds: 1/' cairn.yaml && rm cairn.yaml.bak", cwd);
    this.#learn(printed, output);
    return this.#toShown(output);
  }

  /** In the README's second terminal. */
  async #startUp(cwd: string): Promise<string> {
    const child = spawn(process.execPath, [join(top, 'bin/cairn.js'), 'up'], { cwd, env: this.#environment, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#up = child;
    let text = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      text += chunk;
      if (text.includes('ready in') && text.endsWith('\n')) break;
    }
    return this.#toShown(text);
  }

  async #stop(): Promise<void> {
    if (this.#up === undefined || this.#up.exitCode !== null) return;
    const ended = once(this.#up, 'exit');
    this.#up.kill('SIGTERM');
    await ended;
  }

  async #shell(command: string, cwd: string): Promise<string> {
    const child = spawn('/bin/sh', ['-c', `exec 2>&1; ${command}`], { cwd, env: this.#environment, stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit') as Promise<[number]>;
    const [output, [code]] = await Promise.all([Array.fromAsync(child.stdout as AsyncIterable<Buffer>), ended]);
    return output.join('') + (code === 0 ? '' : `  exit ${code}\n`);
  }

  /** Digests of the README become ours in the commands that follow: by their place in what was printed. */
  #learn(printed: string, output: string): void {
    const digests = (text: string) => text.match(/\b[0-9a-f]{12}\b/g) ?? [];
    const ours = digests(output);
    for (const [at, shown] of digests(printed).entries()) {
      const known = this.#ours.get(shown);
      if (ours[at] === undefined) continue;
      if (known !== undefined && process.env['UPDATE_TOUR'] === undefined) assert.equal(ours[at], known, `${shown} is one thing wherever it is shown`);
      this.#ours.set(shown, ours[at]);
    }
  }

  /** The command as it goes with what was printed this time. */
  shown(command: string): string {
    return command.replaceAll(/\b[0-9a-f]{12}\b/g, (word) => this.#ours.get(word) ?? word);
  }

  #toReal(command: string): string {
    return command.replaceAll(/\b[0-9a-f]{12}\b|\b(?:7070|808[01])\b/g, (word) => this.#ours.get(word) ?? this.#ports.get(word) ?? word);
  }

  #toShown(output: string): string {
    let text = output.replaceAll(this.#folder, '~').replaceAll('confirming 1 s', 'confirming 10 s');
    for (const [shown, real] of this.#ports) text = text.replaceAll(`:${real}`, `:${shown}`);
    return text;
  }
}

test("the README's tour is what happens", async (t) => {
  const text = await readFile(readme, 'utf8');
  const blocks = [...text.matchAll(fence)];
  assert.ok(blocks.length > 3, 'the README has a tour');
  const tour = await Tour.make(t);
  let updated = text;
  for (const [whole, block = ''] of blocks) {
    let anew = '';
    for (const step of stepsOf(block)) {
      const output = await tour.run(step);
      if (process.env['UPDATE_TOUR'] === undefined) assert.equal(shape(output), shape(step.printed), `$ ${step.command}`);
      anew += `$ ${tour.shown(step.command)}\n${output}`;
    }
    updated = updated.replace(whole, `\`\`\`console\n${anew}\`\`\``);
  }
  if (process.env['UPDATE_TOUR'] !== undefined) await writeFile(readme, updated);
});
