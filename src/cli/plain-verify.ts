import { join } from 'node:path';
import type { Context } from './context.ts';

// Got and not imported: see quick.ts.
const { readFileSync } = process.getBuiltinModule('node:fs');

/**
 * `cairn verify` of a release by its whole digest, past the parser of all commands and of definitions, which scripts would wait for each time.
 * @returns whether it was that
 */
export async function verifyPlain([command, ...rest]: readonly string[], context: Context): Promise<boolean> {
  const [reference, another] = rest.filter((word) => word !== '--json');
  const [, named, digest] = /^(?:([a-z0-9][a-z0-9-]{0,62})@)?(sha256:[0-9a-f]{64})$/.exec(reference ?? '') ?? [];
  const application = command === 'verify' && another === undefined && digest !== undefined ? (named ?? applicationAt(context.system.directory)) : undefined;
  if (application === undefined || digest === undefined) return false;
  const { askAhead, hashAhead } = await import('./ahead.ts');
  const early = askAhead(context.system.home, digest);
  const hashed = hashAhead(context.system.home, digest);
  const { verify } = await import('./verify.ts');
  await verify.call(context, { json: rest.includes('--json'), trustCapsule: false }, `${application}@${digest}`, { early, hashed });
  return true;
}

/** The name in cairn.yaml, where it stands there plainly and once; whether the release is really that application's is checked from its bytes. */
function applicationAt(directory: string): string | undefined {
  try {
    const found = [...readFileSync(join(directory, 'cairn.yaml'), 'utf8').matchAll(/^application: *([a-z0-9][a-z0-9-]{0,62}) *(?:#.*)?$/gm)];
    return found.length === 1 ? found[0]?.[1] : undefined;
  } catch {
    return undefined;
  }
}
