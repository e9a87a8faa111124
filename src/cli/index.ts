// cli: the commands. Each talks to the control server by its contract, or works alone on what is at hand.
export { application, complete } from './application.ts';
export type { Context, System } from './context.ts';
