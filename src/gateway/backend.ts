import type { Digest } from '#core';

/** Where requests go: what runs, or is served, of one component of one content. */
export interface Backend {
  readonly application: string;
  readonly component: string;
  readonly content: Digest;
  readonly release: Digest;
  /** `http://127.0.0.1:PORT` of each healthy instance; none: requests are answered with 502. For `files` empty. */
  readonly origins: readonly string[];
  /** For `files`: the absolute folder that is served; read-only and never changed while it is routed to. */
  readonly directory: string | null;
}

export interface Share {
  readonly backend: Backend;
  /** Percent. */
  readonly weight: number;
}

/** The longest path prefix, on segment borders, wins; of two equally long ones that with a host. */
export interface Route {
  /** Without port; any case. Null: every host. */
  readonly host: string | null;
  readonly path: string;
  /** `[former, live]` while traffic is split, otherwise one; the weights sum to 100. */
  readonly split: readonly Share[];
  /** The revision before while it is warm: hashed assets that the live side does not have are asked there. */
  readonly assets: Backend | null;
}

/** PEM texts. */
export interface Tls {
  readonly cert: string;
  readonly key: string;
}

export interface ListenOptions {
  readonly tls?: Tls;
}

/** Since the gateway first routed to the content; a number for the watch after a switch, not for billing. */
export interface Counts {
  readonly requests: number;
  /** Answers that were passed on whole. */
  readonly responses: number;
  /** Requests answered with 502, and answers that the application broke off. */
  readonly errors: number;
  /** A WebSocket is in flight until it closes. */
  readonly inFlight: number;
}

/** What nobody reaches in health. */
export interface Limits {
  /** How long an upload may bring nothing. */
  readonly stallMs: number;
  /** An application that says nothing at all for so long is not going to. */
  readonly answerMs: number;
  /** To one instance. Past it requests wait in line, so that a stuck application can't take every descriptor we have. An event stream takes one. */
  readonly connections: number;
  /** Past it they are refused: whoever waits behind so many has gone when their turn comes. */
  readonly waiting: number;
}
