import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { CairnError } from '#core';
import { mutateBytes } from './bytes.ts';
import { mutateJson } from './json.ts';
import { Random } from './random.ts';

/** What reads bytes that an attacker may have written. */
export interface Parser {
  readonly name: string;
  /** Bytes that it accepts. */
  readonly corpus: readonly Buffer[];
  /** Reads, and checks what must hold of what was read. @throws CairnError where it refuses, `Broken` where something does not hold */
  readonly run: (bytes: Buffer) => unknown;
  /** Documents made from nothing, beside those that are mutated. */
  readonly grammar?: fc.Arbitrary<string>;
  /** Of one input, and 300 ms more for each megabyte of it. Default: 300 ms and 96 MB. */
  readonly milliseconds?: number;
  readonly megabytes?: number;
}

/** A property that does not hold. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

export interface Finding {
  readonly parser: string;
  readonly what: string;
  readonly input: Buffer;
}

export interface Outcome {
  readonly inputs: number;
  readonly accepted: number;
  readonly refused: ReadonlyMap<string, number>;
  readonly findings: readonly Finding[];
}

export interface Effort {
  readonly seed: number;
  /** Until so many inputs were tried, or so long. */
  readonly inputs?: number;
  readonly milliseconds?: number;
}

const mostFindings = 5;
/** Larger ones cost more time than they find. */
const largest = 1 << 20;

/** The inputs of a seed are the same on every run; the effort only says how many of them. */
export async function fuzz(parser: Parser, { seed, inputs = Infinity, milliseconds = Infinity }: Effort): Promise<Outcome> {
  const started = performance.now();
  const refused = new Map<string, number>();
  const findings = new Map<string, Finding>();
  let [tried, accepted] = [0, 0];
  for (const one of parser.corpus) {
    const answer = await judge(parser, one);
    if (answer !== 'accepted') findings.set('corpus', { parser: parser.name, what: `a document that it must accept: ${answer}`, input: one });
  }
  for (const input of makeInputs(parser, seed)) {
    if (tried >= inputs || performance.now() - started >= milliseconds || findings.size >= mostFindings) break;
    tried++;
    const answer = await judge(parser, input);
    if (answer === 'accepted') accepted++;
    else if (answer.startsWith('refused ')) refused.set(answer.slice(8), (refused.get(answer.slice(8)) ?? 0) + 1);
    else if (!findings.has(kindOf(answer))) findings.set(kindOf(answer), { parser: parser.name, what: answer, input: await minimal(parser, input, kindOf(answer)) });
  }
  return { inputs: tried, accepted, refused, findings: [...findings.values()] };
}

function* makeInputs({ name, corpus, grammar }: Parser, seed: number): Generator<Buffer> {
  const random = new Random(`${seed}/${name}`);
  let made: readonly string[] = [];
  for (let at = 0; ; at++) {
    if (grammar !== undefined && at % 4 === 3) {
      const place = Math.floor(at / 4) % 64;
      if (place === 0) made = fc.sample(grammar, { numRuns: 64, seed: random.word() | 0 });
      const text = Buffer.from(made[place] ?? '');
      yield random.chance(70) ? text : mutateBytes(text, random, corpus);
      continue;
    }
    let bytes = random.pickAny(corpus) ?? Buffer.alloc(0);
    const json = random.chance(75) ? mutateJson(bytes, random, corpus) : undefined;
    if (json !== undefined) bytes = json;
    if (json === undefined || random.chance(15)) for (let times = 1 + random.below(3); times > 0; times--) bytes = mutateBytes(bytes, random, corpus);
    if (bytes.byteLength <= largest) yield bytes;
  }
}

/** `accepted`, `refused CODE`, or what is wrong. */
export async function judge(parser: Parser, input: Buffer): Promise<string> {
  const megabytes = parser.megabytes ?? 96;
  const milliseconds = (parser.milliseconds ?? 300) + (300 * input.byteLength) / 1e6;
  let answer = '';
  let fastest = Infinity;
  let least = Infinity;
  // Time of the processor, since other things may run on it; the collector makes one run slow, only an input that is always slow is at fault.
  for (let run = 0; run < 3; run++) {
    const before = inUse();
    const started = process.cpuUsage();
    answer = await once(parser, input);
    const { user, system } = process.cpuUsage(started);
    fastest = Math.min(fastest, (user + system) / 1000);
    least = Math.min(least, inUse() - before);
    if (fastest <= milliseconds && least <= megabytes * 1e6) return answer;
  }
  return fastest > milliseconds ? `takes too long: ${Math.round(fastest)} ms for ${input.byteLength} bytes` : `takes too much memory: ${Math.round(least / 1e6)} MB for ${input.byteLength} bytes`;
}

async function once(parser: Parser, input: Buffer): Promise<string> {
  try {
    await parser.run(input);
    return 'accepted';
  } catch (thrown) {
    if (thrown instanceof CairnError && thrown.code !== 'internal') return `refused ${thrown.code}`;
    const error = thrown as Error;
    const place = error instanceof Broken ? '' : (error.stack?.split('\n').find((line) => line.includes('/src/'))?.trim() ?? '');
    return `${error.name}: ${String(error.message).split('\n')[0]?.slice(0, 200) ?? ''} ${place}`.trim();
  }
}

function inUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function kindOf(answer: string): string {
  return answer.replaceAll(/[0-9]+/g, '#').replaceAll(/"[^"]*"|'[^']*'/g, '$').slice(0, 120);
}

/** The same failure from less: pieces are left out as long as it still fails alike, for two seconds at most. */
async function minimal(parser: Parser, input: Buffer, kind: string): Promise<Buffer> {
  const until = performance.now() + 2000;
  let best = input;
  for (let size = Math.ceil(best.byteLength / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.byteLength; ) {
      if (performance.now() > until) return best;
      const less = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (kindOf(await judge(parser, less)) === kind) best = less;
      else at += size;
    }
  }
  return best;
}

const folder = join(import.meta.dirname, 'corpus');

/** Documents of a folder in test/fuzz/corpus, by name. */
export function corpus(name: string): Buffer[] {
  return readdirSync(join(folder, name)).toSorted().map((file) => readFileSync(join(folder, name, file)));
}
