import { randomBytes } from 'node:crypto';
import { link, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError, ensureDurableDirectory, fsyncDirectory, writeFileDurable } from '#core';

/** From 61000 to 61183 and then from 60578 to 60999: what systemd leaves alone (systemd.io/UIDS-GIDS), and no distribution gives to people. */
const lowest = 60_578;
const first = 61_000;
const end = 61_184;
const count = end - lowest;

/**
 * Which name has which user number, for good: a number is never given again, since files of the name before may still lie around.
 * One file for each number, which holds the name. It is linked into place whole, which fails where it exists, and every opener asks
 * for the numbers in the same order: so that two processes at once never give one number to two names or two numbers to one name,
 * and no lock can be left behind.
 */
export class Users {
  readonly #folder: string;
  readonly #known = new Map<string, number>();
  readonly #accounts: readonly string[];
  #foreign: ReadonlySet<number> | undefined;

  private constructor(folder: string, accounts: readonly string[]) {
    this.#folder = folder;
    this.#accounts = accounts;
  }

  /** `accounts` list the machine's own users and groups, whose numbers are not given. */
  static async open(folder: string, accounts: readonly string[] = ['/etc/passwd', '/etc/group']): Promise<Users> {
    await ensureDurableDirectory(folder, 0o700);
    return new Users(folder, accounts);
  }

  /** @throws CairnError `storage` when all numbers are given */
  async of(name: string): Promise<number> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    for (let i = 0; i < count; i++) {
      const uid = lowest + ((first - lowest + i) % count);
      if ((await this.#holder(uid)) === undefined && !(await this.#isForeign(uid))) await this.#claim(uid, name);
      if ((await this.#holder(uid)) !== name) continue;
      this.#known.set(name, uid);
      return uid;
    }
    throw new CairnError('storage', `all ${count} users for applications and builds are given in ${this.#folder}`, {
      fix: 'Use another home for further applications: CAIRN_HOME',
    });
  }

  async #holder(uid: number): Promise<string | undefined> {
    return readFile(join(this.#folder, String(uid)), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  async #claim(uid: number, name: string): Promise<void> {
    const claim = join(this.#folder, `.claim-${randomBytes(6).toString('hex')}`);
    try {
      await writeFileDurable(claim, name, 0o600);
      await link(claim, join(this.#folder, String(uid))).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    } finally {
      await rm(claim, { force: true });
    }
    await fsyncDirectory(this.#folder);
  }

  async #isForeign(uid: number): Promise<boolean> {
    this.#foreign ??= new Set((await Promise.all(this.#accounts.map(numbersIn))).flat());
    return this.#foreign.has(uid);
  }
}

async function numbersIn(path: string): Promise<number[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').map((line) => Number(line.split(':')[2] ?? Number.NaN));
}
