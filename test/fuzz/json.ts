import { mutateBytes } from './bytes.ts';
import type { Random } from './random.ts';

// Changes to JSON that keep it JSON, most of the time: they get past the first parser, to what stands behind it. Objects are lists of
// entries here, so that a key can stand twice; what no value of JavaScript could hold is raw text.

type Entry = { key: string; value: Node };
type Node = { readonly entries: Entry[] } | { readonly items: Node[] } | { readonly raw: string };
/** A node and how to put another one in its place. */
interface Place {
  readonly node: Node;
  readonly put: (node: Node) => void;
  readonly parent: Node | undefined;
}

const nested = (depth: number, open: string, close: string): string => open.repeat(depth) + close.repeat(depth);
const values: readonly [string, ...string[]] = [
  'null', 'true', 'false', '""', '0', '-0', '-1', '1.5', '1e400', '1e-400', '9007199254740993', '18446744073709551616', '4294967296', '[]', '{}', '[null]', '{"":null}', '"\\ud800"', '"\\u0000"', '"\u2028"', '"__proto__"',
  '{"__proto__":{"kind":"x"}}', '{"constructor":{"prototype":{}}}', '{"toString":1}', '{"length":5}', '"2026-02-30T25:61:61Z"', '"9999-12-31T23:59:59.999999999Z"', '"-271821-04-20T00:00:00Z"', '"sha256:"', '"AA=="', '"A"', '"../../etc/passwd"', '"javascript:alert(1)"', '"pkg:npm/%00@1"',
];
const huge: readonly [() => string, ...(() => string)[]] = [
  () => nested(70, '[', ']'), () => nested(5000, '[', ']'), () => nested(60_000, '[', ']'), () => `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
  () => `"${'A'.repeat(150_000)}"`, () => `"${'\\u0061'.repeat(20_000)}"`, () => '1'.repeat(5000), () => `0.${'0'.repeat(5000)}1`, () => `[${'0,'.repeat(30_000)}0]`, () => `[${'{},'.repeat(20_000)}{}]`,
  () => `{${Array.from({ length: 5000 }, (_, at) => `"k${at}":0`).join(',')}}`, () => `{${'"a":0,'.repeat(5000)}"a":1}`,
];

function read(value: unknown): Node {
  if (Array.isArray(value)) return { items: value.map(read) };
  if (typeof value === 'object' && value !== null) return { entries: Object.entries(value).map(([key, one]) => ({ key: JSON.stringify(key), value: read(one) })) };
  return { raw: JSON.stringify(value) };
}

function write(node: Node): string {
  if ('raw' in node) return node.raw;
  if ('items' in node) return `[${node.items.map(write).join(',')}]`;
  return `{${node.entries.map(({ key, value }) => `${key}:${write(value)}`).join(',')}}`;
}

function places(root: Node, put: (node: Node) => void): Place[] {
  const found: Place[] = [];
  const walk = (node: Node, put: (node: Node) => void, parent: Node | undefined) => {
    found.push({ node, put, parent });
    if ('items' in node) for (const [at, one] of node.items.entries()) walk(one, (other) => (node.items[at] = other), node);
    if ('entries' in node) for (const entry of node.entries) walk(entry.value, (other) => (entry.value = other), node);
  };
  walk(root, put, undefined);
  return found;
}

/** Undefined where the text is no JSON. */
export function mutateJson(bytes: Buffer, random: Random, donors: readonly Buffer[]): Buffer | undefined {
  const tree = parse(bytes);
  if (tree === undefined) return undefined;
  let root = tree;
  for (let times = 1 + random.below(3); times > 0; times--) {
    const all = places(root, (node) => (root = node));
    const place = random.pickAny(all);
    if (place !== undefined) change(place, all, random, donors);
  }
  const text = write(root);
  return Buffer.from(random.chance(5) ? text.replaceAll(',', random.pick([', ', ',\n', ',\t'])) : text);
}

function parse(bytes: Buffer): Node | undefined {
  try {
    return read(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}

function change({ node, put, parent }: Place, all: readonly Place[], random: Random, donors: readonly Buffer[]): void {
  const other = random.pickAny(all)?.node ?? node;
  const owner = 'entries' in node || 'items' in node ? node : parent;
  switch (random.below(9)) {
    case 0:
      return put({ raw: random.chance(8) ? random.pick(huge)() : random.pick(values) });
    case 1:
      return put(copy(other));
    case 2: {
      const donor = parse(random.pickAny(donors) ?? Buffer.alloc(0));
      const from = donor === undefined ? undefined : random.pickAny(places(donor, () => {}));
      return put(from?.node ?? { raw: 'null' });
    }
    case 3:
      return 'raw' in node ? put({ raw: tweak(node.raw, random, donors) }) : undefined;
    default:
      if (owner !== undefined) rearrange(owner, random, all.length);
      return undefined;
  }
}

/** `size`: of the whole. What was made many once is not made many again: thousands of thousands would be our own end, and no parser's. */
function rearrange(owner: Node, random: Random, size: number): void {
  if ('items' in owner) {
    const at = random.below(owner.items.length);
    const item = owner.items[at];
    if (item === undefined) owner.items.push({ raw: random.pick(values) });
    else if (random.chance(30)) owner.items.splice(at, 1);
    else if (random.chance(40)) owner.items.splice(at, 0, copy(item));
    else if (random.chance(20)) for (let more = random.pick(size < 2000 ? [4, 33, 70, 4100] : [4, 33]); more > 0; more--) owner.items.push(item);
    else owner.items.reverse();
  } else if ('entries' in owner) {
    const { entries } = owner;
    const at = random.below(entries.length);
    const entry = entries[at];
    const kind = entry === undefined ? 'add' : random.pick(['leave out', 'twice', 'add', 'rename', 'turn round', 'swap']);
    if (kind === 'leave out') entries.splice(at, 1);
    else if (kind === 'add') entries.push({ key: random.pick(['"extra"', '"__proto__"', '"toString"', '""', '"\\u0000"']), value: { raw: random.pick(values) } });
    else if (kind === 'turn round') entries.reverse();
    else if (entry === undefined) return;
    else if (kind === 'twice') entries.push({ key: entry.key, value: random.chance(50) ? copy(entry.value) : { raw: random.pick(values) } });
    else if (kind === 'swap') entry.value = copy(random.pickAny(entries)?.value ?? entry.value);
    else entry.key = random.pick([entry.key.toUpperCase(), entry.key.replace(/^"(.)/, (_, first: string) => `"\\u${first.charCodeAt(0).toString(16).padStart(4, '0')}`), `"${entry.key.slice(2)}`]);
  }
}

/** A little off: another case, another base64, one more or less; or what stands inside of base64, changed. */
function tweak(raw: string, random: Random, donors: readonly Buffer[]): string {
  if (!raw.startsWith('"')) return random.pick([`-${raw}`, `${raw}0`, `${raw}.0`, `"${raw}"`, `${raw}e1`, `0${raw}`, String(Number(raw) + 1), String(Number(raw) - 1)]);
  const text = textOf(raw);
  if (text === undefined) return '""';
  if (text.length >= 16 && /^[A-Za-z0-9+/]+={0,2}$/.test(text) && random.chance(70)) {
    const inside = Buffer.from(text, 'base64');
    const changed = (random.chance(70) ? mutateJson(inside, random, donors) : undefined) ?? mutateBytes(inside, random, [inside]);
    return JSON.stringify(changed.subarray(0, 400_000).toString('base64'));
  }
  if (random.chance(50)) return JSON.stringify(mutateBytes(Buffer.from(text), random, [Buffer.from(text)]).toString('utf8'));
  return JSON.stringify(random.pick([text.toUpperCase(), text.toLowerCase(), `${text} `, ` ${text}`, `${text}=`, text.replace(/=+$/, ''), text.replaceAll('+', '-').replaceAll('/', '_'), text.slice(1), text + text, text.normalize('NFD'), text.replace('a', '\u0430'), `${text}\0`, '']));
}

/** Undefined where an earlier change made it no string of JSON any more. */
function textOf(raw: string): string | undefined {
  try {
    return JSON.parse(raw) as string;
  } catch {
    return undefined;
  }
}

function copy(node: Node): Node {
  if ('raw' in node) return node;
  return 'items' in node ? { items: node.items.map(copy) } : { entries: node.entries.map(({ key, value }) => ({ key, value: copy(value) })) };
}
