import type { ComponentDocument } from '#release';
import { diffRecord, type RecordChange } from './record.ts';

export interface ComponentChange {
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** Of how it is run; its files are compared apart. */
  readonly settings: readonly RecordChange[];
}

/** Components that came, went or are run in another way. */
export function diffComponents(before: readonly ComponentDocument[], after: readonly ComponentDocument[]): ComponentChange[] {
  const names = [...new Set([...before, ...after].map(({ name }) => name))].toSorted();
  return names.flatMap((name): ComponentChange[] => {
    const [a, b] = [before.find((one) => one.name === name), after.find((one) => one.name === name)];
    if (a === undefined) return [{ name, change: 'added', settings: [] }];
    if (b === undefined) return [{ name, change: 'removed', settings: [] }];
    const settings = diffRecord(settingsOf(a), settingsOf(b));
    return settings.length === 0 ? [] : [{ name, change: 'changed', settings }];
  });
}

function settingsOf({ name: _name, digest: _digest, platforms, ...settings }: ComponentDocument): Record<string, string> {
  return Object.fromEntries(Object.entries({ ...settings, platforms: platforms.map(({ platform }) => platform) }).flatMap(([key, value]) => (value === undefined ? [] : [[key, plain(value)]])));
}

function plain(value: unknown): string {
  if (typeof value === 'string') return value;
  return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value.join(' ') : JSON.stringify(value);
}

export interface SetChange {
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export function diffSets(before: Iterable<string>, after: Iterable<string>): SetChange {
  const [a, b] = [new Set(before), new Set(after)];
  return { before: [...a].toSorted(), after: [...b].toSorted(), added: [...b.difference(a)].toSorted(), removed: [...a.difference(b)].toSorted() };
}
