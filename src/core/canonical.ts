import canonicalize from 'canonicalize';
import { CairnError } from './errors.ts';

/** RFC 8785 (JCS) bytes of a JSON value: the only form that Cairn hashes or signs. */
export function canonicalJson(value: unknown): Buffer {
  const text = canonicalize(value);
  if (text === undefined) throw new CairnError('internal', 'a value without a JSON form was to be hashed');
  return Buffer.from(text, 'utf8');
}

/**
 * Parses a document that must stand in its canonical form. An attacker who finds two parsers that read one text
 * differently (duplicate keys, odd escapes, numbers past 2^53) signs one meaning and runs another: whatever is not byte for
 * byte what we would have written is refused.
 * @throws CairnError `malformed-document`
 */
export function parseCanonicalJson(bytes: Uint8Array, what: string, limit = 4 << 20): unknown {
  if (bytes.byteLength > limit) {
    throw new CairnError('malformed-document', `${what} has ${bytes.byteLength} bytes, more than the ${limit} allowed`);
  }
  const buffer = Buffer.from(bytes);
  let value: unknown;
  try {
    value = JSON.parse(buffer.toString('utf8'));
  } catch (cause) {
    throw new CairnError('malformed-document', `${what} is not JSON`, { cause });
  }
  if (!canonicalJson(value).equals(buffer)) {
    throw new CairnError('malformed-document', `${what} is not canonical JSON (RFC 8785)`);
  }
  return value;
}
