import type { Random } from './random.ts';

// Changes to bytes, blind to what they mean.

const odd: readonly [string, ...string[]] = [
  '\0', '\ufeff', '\u2028', '\u202e', '\u00e9', 'e\u0301', '\ud83d\ude00', '\\ud800', '\\u0000', '\u2014', '\n\n', '\r\n', ' ', '"', '\\', '{', '}', '[', ']', ',', ':', '--', '<!--', '&#x0;', ']]>', '%00', '../', '0', '-', '1e999', '=',
];
const invalid: readonly [readonly number[], ...(readonly number[])[]] = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x80], [0xe2, 0x82]];
/** Enough to hurt what is quadratic, and little enough to make a thousand of. */
const manyBytes = 200_000;

export function mutateBytes(bytes: Buffer, random: Random, donors: readonly Buffer[]): Buffer {
  const at = random.below(bytes.byteLength + 1);
  const length = 1 + random.below(random.chance(80) ? 8 : bytes.byteLength);
  const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (random.below(13)) {
    case 0:
    case 1: {
      const copy = Buffer.from(bytes);
      if (at < copy.byteLength) copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
      return copy;
    }
    case 2: {
      const copy = Buffer.from(bytes);
      if (at < copy.byteLength) copy[at] = random.pick([0, 1, 9, 10, 13, 32, 0x7f, 0x80, 0xff, 0x30, 0x41]);
      return copy;
    }
    case 3:
      return Buffer.concat([head, tail.subarray(length)]);
    case 4:
      return head;
    case 5:
      return Buffer.concat([head, tail.subarray(0, length), tail]);
    case 6:
      return Buffer.concat([head, Buffer.from(random.pick(odd)), tail]);
    case 7:
      return Buffer.concat([head, Buffer.from(random.pick(invalid)), tail]);
    case 8: {
      const donor = random.pickAny(donors) ?? bytes;
      return Buffer.concat([head, donor.subarray(random.below(donor.byteLength))]);
    }
    case 9: {
      const donor = random.pickAny(donors) ?? bytes;
      const from = random.below(donor.byteLength);
      return Buffer.concat([head, donor.subarray(from, from + length), tail.subarray(random.chance(50) ? length : 0)]);
    }
    case 10: {
      const piece = tail.byteLength === 0 ? Buffer.from('x') : tail.subarray(0, length);
      const times = Math.ceil(manyBytes / piece.byteLength / random.pick([1, 10, 1000]));
      return random.chance(10) ? Buffer.concat([head, Buffer.concat(Array.from({ length: times }, () => piece)), tail]) : Buffer.concat([head, piece, piece, tail]);
    }
    case 11:
      return mutateLines(bytes, random, donors);
    default: {
      const text = bytes.toString('latin1');
      return Buffer.from(text.replace(/[0-9]+/g, (digits) => (random.chance(15) ? random.pick([`${digits}0`, '0', `0${digits}`, '18446744073709551616', '-1', '9007199254740993', '4294967296', digits.slice(1)]) : digits)), 'latin1');
    }
  }
}

function mutateLines(bytes: Buffer, random: Random, donors: readonly Buffer[]): Buffer {
  const lines = bytes.toString('latin1').split('\n');
  const others = (random.pickAny(donors) ?? bytes).toString('latin1').split('\n');
  const at = random.below(lines.length);
  switch (random.below(5)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1:
      lines.splice(at, 0, lines[random.below(lines.length)] ?? '');
      break;
    case 2:
      lines.splice(at, 1, others[random.below(others.length)] ?? '');
      break;
    case 3:
      lines.push(...others.slice(random.below(others.length)));
      break;
    default: {
      const other = random.below(lines.length);
      [lines[at], lines[other]] = [lines[other] ?? '', lines[at] ?? ''];
    }
  }
  return Buffer.from(lines.join('\n'), 'latin1');
}
