import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Confined } from './confined.ts';

const execute = promisify(execFile);

/** Runs a command that says who it is, and closes the confinement. null where all is as claimed. */
export async function failsBecause(confined: Confined): Promise<string | null> {
  const { uid } = confined;
  try {
    const { file, args, env } = confined.command('/bin/cat', ['/proc/self/status', '/proc/self/cgroup'], {});
    const { stdout } = await execute(file, args, { env, cwd: '/', timeout: 10_000 });
    const is = (line: RegExp): boolean => line.test(stdout);
    if (uid !== null) {
      const all = `${uid}\\t${uid}\\t${uid}\\t${uid}`;
      if (!is(new RegExp(`^Uid:\\t${all}$`, 'm')) || !is(new RegExp(`^Gid:\\t${all}$`, 'm'))) return 'a command did not change its user';
      if (!is(/^Groups:\s*$/m)) return 'a command kept our groups';
      if (!is(/^NoNewPrivs:\t1$/m)) return 'a command may gain privileges';
    }
    if (confined.limited && !is(/\/cairn\//)) return 'a command did not join its group';
    return null;
  } catch (error) {
    return `a command could not be run: ${(error as Error).message.trim().replaceAll('\n', ' ').slice(0, 300)}`;
  } finally {
    await confined.close();
  }
}
