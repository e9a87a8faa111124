export interface RecordChange {
  readonly name: string;
  /** Null: absent. */
  readonly from: string | null;
  readonly to: string | null;
}

/** What differs between two sets of named values, by name. */
export function diffRecord(before: Readonly<Record<string, string | number>>, after: Readonly<Record<string, string | number>>): RecordChange[] {
  const text = (record: Readonly<Record<string, string | number>>, name: string) => (Object.hasOwn(record, name) ? String(record[name]) : null);
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].toSorted().flatMap((name) => {
    const [from, to] = [text(before, name), text(after, name)];
    return from === to ? [] : [{ name, from, to }];
  });
}
