import { CairnError } from '#core';

const deepest = 32;
const token = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/gy;
const filler = /[^"{}[\]:,]*/gy;

/**
 * JSON as every reader understands it. Go's parser, in most registry tools, takes the last of two equal keys and matches field
 * names without regard to case; ours does not. An attacker who signs `{"layers":A,"Layers":B}` would show us A and run B, so
 * equal keys, and keys that are a known field in another spelling, are refused. Depth is bounded; size is the caller's.
 * @param fields names that may only stand in this spelling, except under a key of `free`
 * @throws CairnError `malformed-document`
 */
export function parseUnambiguousJson(bytes: Uint8Array, what: string, fields: ReadonlySet<string>, free: ReadonlySet<string>): unknown {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new CairnError('malformed-document', `${what} is not JSON`, { cause });
  }
  const spellings = new Map([...fields].map((name) => [fold(name), name]));
  const open: { keys: Set<string> | undefined; under: string }[] = [];
  let last = '';
  let key = '';
  for (const found of tokens(text)) {
    if (found === '{' || found === '[') {
      // Elements of an array stand under the array's own key.
      const under = open.length > 0 && open.at(-1)?.keys === undefined ? (open.at(-1)?.under ?? '') : key;
      open.push({ keys: found === '{' ? new Set() : undefined, under });
      if (open.length > deepest) throw new CairnError('malformed-document', `${what} is nested deeper than ${deepest}`);
    } else if (found === '}' || found === ']') {
      open.pop();
    } else if (found === ':') {
      key = JSON.parse(last) as string;
      const here = open.at(-1);
      if (here?.keys?.has(key)) throw new CairnError('malformed-document', `${what} has the key ${last.slice(0, 60)} twice`);
      here?.keys?.add(key);
      const known = spellings.get(fold(key));
      if (known !== undefined && known !== key && !free.has(here?.under ?? '')) {
        throw new CairnError('malformed-document', `${what} spells the field ${known} as ${last.slice(0, 60)}`);
      }
    }
    last = found;
  }
  return value;
}

/** The punctuation and the strings of a text that is already known to be JSON. */
function* tokens(text: string): Generator<string> {
  let at = 0;
  while (at < text.length) {
    filler.lastIndex = at;
    at += filler.exec(text)?.[0].length ?? 0;
    token.lastIndex = at;
    const found = token.exec(text)?.[0];
    if (found === undefined) return;
    yield found;
    at += found.length;
  }
}

/** Upper first: the long s and the Kelvin sign fold to s and k in Go as well. */
function fold(name: string): string {
  return name.toUpperCase().toLowerCase();
}
