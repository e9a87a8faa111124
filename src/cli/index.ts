// cli: the commands. Each talks to the control server by its contract, or works alone on what is at hand.
export { complete, run } from './commands.ts';
export { verifyPlain } from './plain-verify.ts';
export type { Context, System } from './context.ts';
