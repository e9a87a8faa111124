import calculator from 'ae-cvss-calculator';

export type SeverityWord = 'none' | 'low' | 'medium' | 'high' | 'critical' | 'unknown';

/** What a CVSS vector comes to. */
export interface Scored {
  /** The version of CVSS, such as `CVSS:3.1`. */
  readonly method: string;
  /** Base score, 0 to 10: what the flaw is, before time and place are weighed. */
  readonly score: number;
  readonly severity: SeverityWord;
}

const longest = 512;

/** The base score of a vector of CVSS 2.0, 3.0, 3.1 or 4.0; undefined where it is none, or lacks one of the base metrics: a guess would be a lie. */
export function scoreOf(vector: string): Scored | undefined {
  if (vector.length > longest) return undefined;
  const method = /^CVSS:(?:4\.0|3\.[01])(?=\/)/.exec(vector)?.[0] ?? (/^\(?AV:[LAN]\/AC:[HML]\/Au:/.test(vector) ? 'CVSS:2.0' : undefined);
  if (method === undefined) return undefined;
  try {
    const parsed = parse(method, vector);
    if (!parsed.isBaseFullyDefined()) return undefined;
    const { base } = parsed.calculateScores();
    if (base === undefined || !(base >= 0 && base <= 10)) return undefined;
    return { method, score: base, severity: wordOf(base, method === 'CVSS:2.0') };
  } catch {
    return undefined;
  }
}

function parse(method: string, vector: string) {
  if (method === 'CVSS:4.0') return new calculator.Cvss4P0(vector);
  if (method === 'CVSS:3.1') return new calculator.Cvss3P1(vector);
  if (method === 'CVSS:3.0') return new calculator.Cvss3P0(vector);
  return new calculator.Cvss2(vector.replace(/^\((.*)\)$/, '$1'));
}

/** FIRST's qualitative scale. Version 2 knows no `critical`. */
export function wordOf(score: number, second = false): SeverityWord {
  if (score === 0) return 'none';
  if (score < 4) return 'low';
  if (score < 7) return 'medium';
  return score < 9 || second ? 'high' : 'critical';
}

const words: Readonly<Record<string, SeverityWord>> = {
  none: 'none', negligible: 'low', low: 'low', minor: 'low', moderate: 'medium', medium: 'medium', important: 'high', high: 'high', critical: 'critical',
};

/** A severity as databases say it in words; undefined for what is no such word. */
export function severityNamed(word: unknown): SeverityWord | undefined {
  return typeof word === 'string' ? words[word.toLowerCase()] : undefined;
}
