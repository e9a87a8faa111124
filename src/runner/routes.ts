import { CairnError } from '#core';
import type { Backend, Route } from '#gateway';
import type { Launch } from './protocol.ts';

/** Where requests come in: lower-case host or null for every one, and a path without a slash at its end; '' is everything. */
export interface Address {
  readonly host: string | null;
  readonly path: string;
}

/** A content that can be routed to. */
export interface Routable {
  readonly addresses: readonly Address[];
  /** Undefined where it has no component at that address. */
  backendAt(address: Address): Backend | undefined;
}

/** One application in an environment. */
export interface Routed {
  readonly live: Routable | undefined;
  /** Percent of new clients that the live content gets; the former one gets the others. */
  readonly share: number;
  readonly former: Routable | undefined;
  /** What was live before, while it stands. */
  readonly before: Routable | undefined;
}

/** The whole table of an environment, of all its applications: the one thing that a switch puts in the place of another. */
export function tableOf(applications: readonly Routed[]): Route[] {
  return applications.flatMap(({ live, share, former, before }) => {
    const addresses = new Map([...(former?.addresses ?? []), ...(live?.addresses ?? [])].map((address) => [addressText(address), address]));
    return [...addresses.values()].map((address): Route => {
      const newcomer = live?.backendAt(address);
      const other = former?.backendAt(address);
      const split = [
        ...(other === undefined ? [] : [{ backend: other, weight: newcomer === undefined ? 100 : 100 - share }]),
        ...(newcomer === undefined ? [] : [{ backend: newcomer, weight: other === undefined ? 100 : share }]),
      ];
      return { host: address.host, path: address.path === '' ? '/' : address.path, split, assets: before?.backendAt(address) ?? null };
    });
  });
}

export function addressesOf({ components }: Launch): { readonly component: string; readonly address: Address }[] {
  return components.flatMap(({ name, routes }) => routes.map((route) => ({ component: name, address: addressOf(route) })));
}

/** As the gateway reads it. */
function addressOf({ host, path }: Address): Address {
  return { host: host === null ? null : host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, ''), path: path.replace(/\/+$/, '') };
}

export function addressText({ host, path }: Address): string {
  return `${host ?? '*'}${path === '' ? '/' : path}`;
}

/** @throws CairnError `invalid-configuration` for an address that two components want */
export function checkAddresses(launch: Launch): void {
  const taken = new Map<string, string>();
  for (const { component, address } of addressesOf(launch)) {
    const text = addressText(address);
    const other = taken.get(text);
    if (other !== undefined) {
      throw new CairnError('invalid-configuration', `the components ${other} and ${component} both want the route ${text}`, { fix: 'Give one of them another path or host in cairn.yaml' });
    }
    taken.set(text, component);
  }
}
