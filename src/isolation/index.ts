// isolation: runs commands as users of their own, under memory and CPU limits, and says where it cannot. Imports core only.
export type { Confined, Isolation, Limits } from './isolation.ts';
