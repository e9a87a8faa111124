import canonicalize from 'canonicalize';
import { CairnError } from './errors.ts';
import { parseStrictJson } from './strict-json.ts';

/**
 * RFC 8785 (JCS) bytes of a JSON value: the only form that Cairn hashes or signs.
 * @throws CairnError `malformed-document` where there is none: half a surrogate pair, a number past what a double holds
 */
export function canonicalJson(value: unknown): Buffer {
  let text: string | undefined;
  try {
    text = canonicalize(value);
  } catch (cause) {
    throw noForm(cause instanceof RangeError ? 'it is nested too deep' : (cause as Error).message, cause);
  }
  if (text === undefined) throw new CairnError('internal', 'a value without a JSON form was to be hashed');
  return Buffer.from(text, 'utf8');
}

function noForm(why: string, cause?: unknown): CairnError {
  return new CairnError('malformed-document', `it has no canonical JSON form (RFC 8785): ${why}`, { cause });
}

/** Deeper than anything that is signed. Who reads a tree by calling itself can then do so without running out of stack. */
const deepest = 128;

/**
 * Parses a document that must stand in its canonical form. An attacker who finds two parsers that read one text
 * differently (duplicate keys, odd escapes, numbers past 2^53) signs one meaning and runs another: whatever is not byte for
 * byte what we would have written is refused. So is `__proto__`, a name that some readers lose.
 * @throws CairnError `malformed-document`
 */
export function parseCanonicalJson(bytes: Uint8Array, what: string, limit = 4 << 20): unknown {
  const value = parseStrictJson(bytes, what, limit, deepest);
  if (!canonicalJson(value).equals(bytes)) {
    throw new CairnError('malformed-document', `${what} is not canonical JSON (RFC 8785)`);
  }
  return value;
}
