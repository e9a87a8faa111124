/** Time, injected everywhere, so that decisions replay and tests do not wait. */
export interface Clock {
  /** Wall time. */
  now(): Date;
  /** Milliseconds that only move forward; for durations, never for dates. */
  elapsed(): number;
}

/** A clock that stands still until it is told to move: for tests and golden vectors. */
export function fixedClock(start: string): Clock & { advance(milliseconds: number): void } {
  let at = Date.parse(start);
  const origin = at;
  return {
    now: () => new Date(at),
    elapsed: () => at - origin,
    advance: (milliseconds) => {
      at += milliseconds;
    },
  };
}
