import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { CairnError, exists } from '#core';

export interface StageRun {
  readonly name: string;
  readonly run: string;
  readonly network: boolean;
}

/** Network settings that a stage with `network: true` receives. Their values are never recorded: they can hold credentials. */
const networkNames = [
  'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR',
  'NPM_CONFIG_REGISTRY', 'npm_config_registry', 'NPM_CONFIG_USERCONFIG', 'npm_config_userconfig', 'NPM_CONFIG_CAFILE', 'npm_config_cafile', 'NPM_CONFIG_CACHE', 'npm_config_cache',
] as const;

/** The network settings of whoever releases; their own .npmrc where no other is named, since a stage has another HOME. */
export async function networkSettings(host: Readonly<Record<string, string | undefined>>): Promise<Record<string, string>> {
  const lent = Object.fromEntries(networkNames.flatMap((name) => (host[name] === undefined ? [] : [[name, host[name]] as const])));
  const own = join(host['HOME'] ?? '/nonexistent', '.npmrc');
  const named = 'NPM_CONFIG_USERCONFIG' in lent || 'npm_config_userconfig' in lent;
  return named || !(await exists(own)) ? lent : { ...lent, NPM_CONFIG_USERCONFIG: own };
}

/** Everything a stage sees. Nothing is inherited: no key, passphrase, token, locale or time zone of whoever releases. */
export function stageEnvironment(stage: StageRun, bin: string, home: string, network: Readonly<Record<string, string>>): Record<string, string> {
  const fixed = {
    PATH: `${bin}:/usr/bin:/bin`, HOME: home, TZ: 'UTC', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', SOURCE_DATE_EPOCH: '315532800',
    NPM_CONFIG_UPDATE_NOTIFIER: 'false', NPM_CONFIG_FUND: 'false', NPM_CONFIG_AUDIT: 'false',
  };
  return stage.network ? { ...network, ...fixed } : fixed;
}

/**
 * Runs a stage to its end, in a process group of its own that is killed afterwards: what a stage leaves running must not see
 * the signing that follows. @throws CairnError `stage-failed` with its last lines
 */
export async function runStage(stage: StageRun, directory: string, environment: Record<string, string>, progress: (line: string) => void): Promise<void> {
  const child = spawn('/bin/sh', ['-c', 'umask 022; exec /bin/sh -e -c "$0"', stage.run], { cwd: directory, env: environment, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  const follow = async (stream: NodeJS.ReadableStream) => {
    for await (const line of createInterface({ input: stream })) {
      lines.push(line.slice(0, 2000));
      if (lines.length > 20) lines.shift();
      progress(line);
    }
  };
  const output = Promise.all([follow(child.stdout), follow(child.stderr)]);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  killGroup(child.pid);
  await killStrays(environment['HOME'] ?? '');
  await output;
  if (code !== 0) {
    throw new CairnError('stage-failed', `stage ${stage.name} ended with ${code ?? 'a signal'}; nothing was published`, { context: { lines }, fix: `Run "${stage.run}" in a clean clone of the commit` });
  }
}

/** What left the group (a daemon of its own session) still has the stage's HOME in its environment, and is found by it. Linux only. */
async function killStrays(home: string): Promise<void> {
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const environment = await readFile(`/proc/${entry}/environ`, 'utf8').catch(() => '');
    if (environment.split('\0').includes(`HOME=${home}`)) kill(Number(entry));
  }
}

function killGroup(pid: number | undefined): void {
  if (pid !== undefined) kill(-pid);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Nobody is left: as it should be.
  }
}
