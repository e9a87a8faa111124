import { SaxesParser } from 'saxes';
import { notA, type Imported, type ReportFile } from './report.ts';

// JUnit's XML has no specification: this reads what Surefire, Gradle, pytest, jest-junit, gotestsum, Node and others write. Whoever gains
// from a green run writes the file, so what is doubtful is counted against it: a failure anywhere is one, an attribute that admits more
// failures than are listed is believed, and a list that is shorter than it says was cut off.

const deepest = 64;
const mostCases = 1_000_000;
const mostNames = 1000;
const failing: ReadonlySet<string> = new Set(['failure', 'error']);
const failed: ReadonlySet<string> = new Set(['fail', 'failed', 'failure', 'error', 'errored']);

interface Open {
  readonly name: string;
  /** Test cases below it. */
  cases: number;
  /** Test cases and suites directly in it. */
  children: number;
  failures: number;
  readonly said: { readonly tests: number; readonly failures: number };
  readonly label: string;
  state: 'passed' | 'failed' | 'skipped';
}

/** in-toto/attestation: spec/predicates/test-result.md. @throws CairnError `malformed-document` */
export function importJunit(file: ReportFile): Imported {
  const { passed, failures, skipped, names } = count(textOf(file));
  return {
    format: 'junit',
    kind: 'tests',
    predicate: {
      // Tests that were all left out show nothing.
      result: failures > 0 ? 'FAILED' : passed === 0 ? 'WARNED' : 'PASSED',
      configuration: [{ name: file.name, digest: { sha256: file.digest.slice(7) }, mediaType: 'application/xml' }],
      ...(names.length > 0 && { failedTests: names }),
      'https://cairn.internal/tests/v1': { passed, failed: failures, skipped },
    },
  };
}

function textOf({ bytes }: ReportFile): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refuse('it is not UTF-8');
  }
}

function count(text: string): { passed: number; failures: number; skipped: number; names: string[] } {
  const open: Open[] = [];
  const names: string[] = [];
  let [passed, failures, skipped] = [0, 0, 0];
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw refuse(`it is no whole XML: ${error.message.slice(0, 200)}`);
  });
  // Entities can be made of other entities, or of files: nothing that declares any is read at all.
  parser.on('doctype', () => {
    throw refuse('it has a DOCTYPE, and with it could have entities');
  });
  parser.on('xmldecl', ({ encoding }) => {
    if (encoding !== undefined && !/^(utf-8|us-ascii)$/i.test(encoding)) throw refuse(`its encoding is ${encoding.slice(0, 40)}, not UTF-8`);
  });
  parser.on('opentag', ({ name, attributes }) => {
    const parent = open.at(-1);
    if (open.length === 0 && name !== 'testsuites' && name !== 'testsuite') throw refuse(`its root is ${name.slice(0, 40)}, not testsuites`);
    if (open.length >= deepest) throw refuse(`it is nested deeper than ${deepest}`);
    if (parent !== undefined && (name === 'testcase' || name === 'testsuite')) parent.children++;
    const label = [attributes['classname'], attributes['name']].filter((one) => one !== undefined && one !== '').join(' ').slice(0, 512);
    const said = { tests: number(attributes, 'tests'), failures: number(attributes, 'failures') + number(attributes, 'errors') };
    const state = [attributes['status'], attributes['result']].some((one) => failed.has((one ?? '').toLowerCase())) ? 'failed' : 'passed';
    open.push({ name, cases: 0, children: 0, failures: 0, said, label, state });
  });
  parser.on('closetag', () => {
    const one = open.pop();
    const parent = open.at(-1);
    if (one === undefined) return;
    const tag = one.name.toLowerCase();
    if (tag === 'testcase') {
      if (one.state === 'failed') failures++;
      else if (one.state === 'skipped') skipped++;
      else passed++;
      if (one.state === 'failed' && names.length < mostNames) names.push(one.label);
      if (passed + failures + skipped > mostCases) throw refuse(`it has more than ${mostCases} tests`);
      if (parent !== undefined) [parent.cases, parent.failures] = [parent.cases + 1, parent.failures + (one.state === 'failed' ? 1 : 0)];
      return;
    }
    if (tag === 'testsuite' || tag === 'testsuites') {
      if (one.said.tests > Math.max(one.cases, one.children)) throw refuse(`it says that it has ${one.said.tests} tests, and lists ${one.cases}`);
      // One that failed beside any test, such as in setting up; or that is not listed.
      const more = Math.max(0, one.said.failures - one.failures);
      failures += more;
      if (more > 0 && names.length < mostNames) names.push(one.label);
      if (parent !== undefined) [parent.cases, parent.failures] = [parent.cases + one.cases, parent.failures + one.failures + more];
      return;
    }
    if (parent === undefined) return;
    if (failing.has(tag)) {
      if (parent.name === 'testcase') parent.state = 'failed';
      else {
        parent.failures++;
        failures++;
        if (names.length < mostNames) names.push(parent.label);
      }
    } else if ((tag === 'skipped' || tag === 'disabled') && parent.name === 'testcase' && parent.state === 'passed') parent.state = 'skipped';
  });
  parser.write(text).close();
  if (passed + failures + skipped === 0) throw refuse('it lists no test');
  return { passed, failures, skipped, names };
}

function number(attributes: Readonly<Record<string, string>>, name: string): number {
  const text = attributes[name]?.trim() ?? '';
  if (text === '') return 0;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw refuse(`"${text.slice(0, 40)}" is no number of ${name}`);
  return value;
}

function refuse(why: string) {
  return notA('the JUnit report', why);
}
