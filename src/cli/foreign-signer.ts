import { parsePredicate, type Statement } from '#attest';
import { sigstoreRoots, type Home } from '#home';
import { holderOf } from '#policy';
import { readForeign } from '#verify';
import type { Footing } from './footing.ts';

/** Who signed what another tool wrote, by the policy in force: verified from its bytes, since the statement around it is only the server's word. */
export async function foreignSigner(statement: Statement, { log, policy }: Pick<Footing, 'log' | 'policy'>, home: Home): Promise<string> {
  const { roots } = await sigstoreRoots(home.paths);
  try {
    const { signer } = readForeign(parsePredicate('foreign', statement), { roots, keys: policy.people.flatMap(({ keys }) => keys), ours: log });
    return holderOf(policy, signer)?.name ?? (signer.kind === 'identity' ? signer.subject : 'a stranger');
  } catch {
    return 'nobody: it does not hold any more';
  }
}
