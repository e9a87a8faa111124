import type { Context } from './context.ts';

/**
 * `cairn verify` of a release by its whole digest, past the parser of all commands, which scripts would wait for each time.
 * @returns whether it was that
 */
export async function verifyPlain([command, ...rest]: readonly string[], context: Context): Promise<boolean> {
  const [reference, another] = rest.filter((word) => word !== '--json');
  if (command !== 'verify' || reference === undefined || another !== undefined || !/^(?:[a-z0-9][a-z0-9-]*@)?sha256:[0-9a-f]{64}$/.test(reference)) return false;
  const { hashAhead } = await import('./ahead.ts');
  const ahead = hashAhead(context.system.home, reference.slice(reference.indexOf('@') + 1));
  const { verify } = await import('./verify.ts');
  await verify.call(context, { json: rest.includes('--json'), trustCapsule: false }, reference, ahead);
  return true;
}
