// isolation: runs commands as users of their own, under memory and CPU limits, and says where it cannot. Imports core only.
export { unconfined, type Command, type Confined, type Limits } from './confined.ts';
export { openIsolation, type Isolation, type IsolationOptions } from './isolation.ts';
export { closedFolder, reachable } from './reachable.ts';
