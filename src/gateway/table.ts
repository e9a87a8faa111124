import { CairnError } from '#core';
import type { Backend, Route, Share } from './backend.ts';
import type { Side } from './side.ts';

/** A route with its sides. Immutable: a request reads one table, and the next request may read another. */
export interface Entry {
  readonly host: string | null;
  /** Without a slash at its end: '' is everything. */
  readonly path: string;
  /** The newcomer first. */
  readonly shares: readonly [Target, ...Target[]];
  readonly application: string;
}

export interface Target {
  readonly side: Side;
  readonly weight: number;
  /** Those that may have a hashed asset which this side lacks: the revision before, and the other sides of a split. */
  readonly elsewhere: readonly Side[];
}

export type Table = readonly Entry[];

/** @throws CairnError `invalid-configuration` for a split that can't be followed or two routes of one address; then no side was touched */
export function tableOf(routes: readonly Route[], sideOf: (backend: Backend) => Side): Table {
  check(routes);
  return routes
    .map(({ host, path, split, assets }): Entry => {
      const sides = split.map(({ backend }) => sideOf(backend));
      const all = new Set(assets === null ? sides : [sideOf(assets), ...sides]);
      const target = ({ weight }: Share, side: Side): Target => ({ side, weight, elsewhere: [...all].filter((other) => other !== side) });
      const [newcomer, ...others] = split.map((share, at) => target(share, sides[at] as Side)).toReversed();
      if (newcomer === undefined) throw new CairnError('internal', 'a route without a side');
      return { host: host === null ? null : bareHost(host), path: barePath(path), shares: [newcomer, ...others], application: newcomer.side.backend.application };
    })
    .toSorted((a, b) => b.path.length - a.path.length || Number(a.host === null) - Number(b.host === null));
}

function check(routes: readonly Route[]): void {
  const seen = new Set<string>();
  for (const { host, path, split } of routes) {
    const address = `${host === null ? '*' : bareHost(host)}${barePath(path)}`;
    if (seen.has(address)) throw new CairnError('invalid-configuration', `two routes lead from ${address}`, { fix: 'Give each component a path or a host of its own in cairn.yaml' });
    seen.add(address);
    const sum = split.reduce((total, { weight }) => total + weight, 0);
    if (sum !== 100 || split.some(({ weight }) => weight < 0)) throw new CairnError('invalid-configuration', `the weights of the route ${address} make ${sum}, not 100`);
  }
}

export function find(table: Table, host: string | undefined, path: string): Entry | undefined {
  let bare: string | undefined;
  for (const entry of table) {
    if (entry.host !== null && entry.host !== (bare ??= bareHost(host ?? ''))) continue;
    if (under(path, entry.path)) return entry;
  }
  return undefined;
}

/** `/shop` leads to `/shop`, `/shop/cart` and `/shop?x`, not to `/shopping`. */
function under(path: string, prefix: string): boolean {
  if (prefix === '') return true;
  if (!path.startsWith(prefix)) return false;
  const next = path.charCodeAt(prefix.length);
  return Number.isNaN(next) || next === 47 || next === 63;
}

function barePath(path: string): string {
  return path.replace(/\/+$/, '');
}

/** Lower case, without port and the root's dot. */
function bareHost(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
}
