/**
 * The places where a crash is survived. Code on the path of an acknowledged write calls `point` before and after each write
 * and each call to another process; the tests kill the process there, at every one in turn. In production it does nothing.
 */
export interface Faults {
  point(name: string): void;
}

export const noFaults: Faults = { point: () => {} };
