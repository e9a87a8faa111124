// gateway: one listener an environment, one backend behind it, swapped between two requests. Imports core only.
export { createGateway, type Gateway } from './gateway.ts';
export type { Backend, Counts } from './side.ts';
