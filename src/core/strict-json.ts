import { malformed, type Reason } from './reasons.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses JSON that others wrote, where its canonical form cannot be asked for. An attacker signs one text that two readers
 * understand differently: the first `subject` is what the policy sees, the second what runs. So a name that stands twice in one
 * object is refused (also where it is spelled with escapes), as are bytes that are not UTF-8, a byte order mark, `__proto__`,
 * more than `limit` bytes and more than `depth` levels.
 * @throws CairnError `malformed-document` with reason `too-large`, `not-json`, `too-deep` or `duplicate-key`
 */
export function parseStrictJson(bytes: Uint8Array, what: string, limit = 4 << 20, depth = 64): unknown {
  const refuse = (reason: Reason, why: string, cause?: unknown) => malformed(reason, `${what} ${why}`, { cause, context: { what, limit } });
  if (bytes.byteLength > limit) throw refuse('too-large', `has ${bytes.byteLength} bytes, more than the ${limit} allowed`);
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse('not-json', 'is not JSON', cause);
  }
  // From here on the text is known to be JSON, so that a string before a colon is a name and brackets match.
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      const end = endOfString(text, at);
      if (nextCode(text, end) === colon) {
        const name = nameOf(text.slice(at, end));
        const names = open.at(-1);
        if (name === '__proto__' || names?.has(name) === true) throw refuse('duplicate-key', `holds the name ${JSON.stringify(name.slice(0, 100))} ${name === '__proto__' ? 'that no reader should meet' : 'twice in one object'}`);
        names?.add(name);
      }
      at = end - 1;
    } else if (code === openBrace || code === openBracket) {
      if (open.length >= depth) throw refuse('too-deep', `nests deeper than ${depth} levels`);
      open.push(code === openBrace ? new Set() : null);
    } else if (code === closeBrace || code === closeBracket) {
      open.pop();
    }
  }
  return value;
}

const [quote, colon, backslash, openBrace, closeBrace, openBracket, closeBracket] = [0x22, 0x3a, 0x5c, 0x7b, 0x7d, 0x5b, 0x5d];

/** Index after the quote that closes the string which opens at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  for (;;) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes += 1;
    if (slashes % 2 === 0) return end + 1;
    end = text.indexOf('"', end + 1);
  }
}

function nextCode(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) <= 0x20) at += 1;
  return text.charCodeAt(at);
}

function nameOf(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
}
