import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { assertPublished } from './schema.ts';
import { runCairn, type Machine, type Ran } from './machine.ts';

/** Somebody with a home and a key of their own on the machine: nobody reads another's key. */
export class Colleague {
  readonly name: string;
  readonly home: string;
  readonly publicKey: string;
  readonly #machine: Machine;

  private constructor(machine: Machine, name: string) {
    this.#machine = machine;
    this.name = name;
    this.home = join(machine.folder, `home-${name}`);
    this.publicKey = join(this.home, 'people', `${name}.pub`);
  }

  /** Makes a home and a key in it; needs no server. */
  static async make(machine: Machine, name: string): Promise<Colleague> {
    const one = new Colleague(machine, name);
    await mkdir(one.home, { mode: 0o700 });
    const ran = await one.cairn('key', 'new', name, '--json');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    return one;
  }

  /** What the server's owner hands over: where it is, and the token to speak with it. Neither lets anybody sign. */
  async join(): Promise<void> {
    await mkdir(join(this.home, 'known'), { recursive: true });
    for (const name of ['cairn.json', 'token']) await copyFile(join(this.#machine.home, name), join(this.home, name));
  }

  async cairn(...parameters: string[]): Promise<Ran> {
    const { repository, environment } = this.#machine;
    const ran = await runCairn(repository, { ...environment, CAIRN_HOME: this.home, CAIRN_USER: this.name, CAIRN_PASSPHRASE: `the passphrase of ${this.name}` }, parameters);
    if (parameters.includes('--json') && ran.json !== undefined) assertPublished(parameters, ran.json, 'error' in (ran.json as object));
    return ran;
  }
}
