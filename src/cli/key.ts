import { join } from 'node:path';
import { CairnError, digestOf, exists } from '#core';
import { createPerson, homePaths, listPeople, personPublicKey } from '#home';
import type { Context, System } from './context.ts';
import { row, run, short, type CommonFlags } from './output.ts';
import { passphrase, personName } from './session.ts';

/** A key pair for a person, encrypted on this machine; the public half is what a policy names. */
export async function newKey(this: Context, flags: CommonFlags, name: string): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name) || name === 'recovery')
      throw new CairnError('usage', `"${name}" cannot name a person`, { fix: 'Use lower-case letters, digits and dashes' });
    const { people } = homePaths(system.home);
    const path = join(people, `${name}.key`);
    if (await exists(path))
      throw new CairnError('conflict', `there is a key of ${name} on this machine: ${path}`, { fix: 'cairn key list; a key is never written over' });
    await createPerson(people, name, await newPassphrase(system, name, path));
    const pub = join(people, `${name}.pub`);
    if (!flags.json) {
      row(this, 'key', name, 'encrypted, for this person alone', path);
      row(this, 'public', pub);
      row(this, 'next', `cairn init --person ${name}=developer,release@${pub}`);
    }
    return { name, path, publicKey: pub, key: await personPublicKey(people, name) };
  });
}

/** Whose keys lie on this machine. */
export async function listKeys(this: Context, flags: CommonFlags): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const people = (await listPeople(homePaths(system.home).people)).map((one) => ({
      ...one,
      fingerprint: digestOf(Buffer.from(one.key, 'base64')),
      mine: one.name === personName(system),
    }));
    if (!flags.json) {
      for (const { name, path, fingerprint, mine } of people) row(this, mine ? 'you' : '', name, short(fingerprint), path);
      if (people.length === 0) row(this, 'next', 'no keys are here', 'cairn init, or cairn key new NAME');
    }
    return people;
  });
}

/** For a key that is to be made it is asked twice: a slip of the finger would lock its owner out for good. */
export async function newPassphrase(system: System, name: string, path: string): Promise<string> {
  if (await exists(path)) return passphrase(system, `Passphrase of ${name}: `);
  const first = await passphrase(system, `A passphrase for ${name}'s key: `);
  if (system.environment['CAIRN_PASSPHRASE'] !== undefined) return first;
  if ((await system.askSecret('The same again: ')) !== first) throw new CairnError('usage', 'the two passphrases differ', { fix: 'Type the same twice' });
  return first;
}
