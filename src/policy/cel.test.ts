import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CairnError } from '#core';
import { decide, type Evidence, type Question, type Rule } from '#policy';
import { compile, withinPatience } from './cel.ts';
import { declaredSizes } from './cel-types.ts';
import { factSpecs, factTexts } from './facts.ts';
import { approves, built, component, evidence, keyOf, now, policyOf, question, release, statement } from './fixture.ts';

const cel = (expression: string, change: Partial<Extract<Rule, { kind: 'cel' }>> = {}): Rule => ({ kind: 'cel', name: 'gate', expression, blocksRollback: false, ...change });
function judge(expression: string, facts: Partial<Evidence> = {}, asked: Partial<Question> = {}) {
  return decide(policyOf([cel(expression)]), { ...evidence, ...facts }, { ...question, ...asked }).rules.find(({ rule }) => rule === 'gate');
}
const holds = (expression: string, facts: Partial<Evidence> = {}, asked: Partial<Question> = {}) => assert.equal(judge(expression, facts, asked)?.passed, true, `${expression}: ${judge(expression, facts, asked)?.nearest}`);
const refusedFor = (reason: string, work: () => unknown) =>
  assert.throws(work, (error) => error instanceof CairnError && error.code === 'invalid-policy' && error.context['reason'] === reason && error.fix !== undefined);
const check = (expression: string) => compile(expression).cost(declaredSizes);

const packages = (count: number, licenses: readonly string[] = ['MIT']) => Array.from({ length: count }, (_, at) => ({ purl: `pkg:npm/p${at}@1.0.0`, name: `p${at}`, version: '1.0.0', licenses }));
const bill = (count: number, licenses?: readonly string[]) => statement('ada', { kind: 'sbom', packages: packages(count, licenses) });
const scan = (by: string, vulnerabilities: readonly { id: string; severity: 'low' | 'critical' | 'unknown' }[], change: object = {}) =>
  statement(by, { kind: 'scan', scanner: 'osv', finished: now - 60, vulnerabilities: vulnerabilities.map((one) => ({ package: 'pkg:npm/a@1', score: null, fixed: null, ...one })) }, change);

test('every kind of statement can be read by an expression, with who said it and their roles', () => {
  const statements = [
    statement('ada', built('ada')), bill(3), statement('ada', { kind: 'tests', result: 'PASSED', passed: 41, failed: null }), scan('eve', [{ id: 'CVE-1', severity: 'low' }]),
    statement('eve', { kind: 'findings', tool: 'semgrep', findings: [{ rule: 'sql', level: 'warning' }] }), statement('rex', approves('rex')), statement('dan', { kind: 'signature' }),
  ];
  const facts = { statements, confirmedIn: [{ environment: 'staging', time: now - 3600 }], witnessed: { size: 9, witnesses: ['w1', 'stranger'] } };
  for (const expression of [
    "provenance.exists(p, p.by == 'ada' && 'builder' in p.roles && p.commit == release.commit)", "packages.all(p, p.type == 'npm' && p.licenses.all(l, l in ['MIT', 'ISC']))", 'sboms[0].packages == 3',
    "tests.exists(t, t.result == 'PASSED' && t.passed > 40 && !has(t.failed))", "scans.exists(s, s.scanner == 'osv' && now - s.finished < duration('1h') && s.by == 'eve')", 'vulnerabilities.all(v, v.rank < 3)',
    "findings.filter(f, f.level == 'error').size() == 0 && findings.map(f, f.rule) == ['sql']", "approvals.exists_one(a, 'release' in a.roles && a.by != question.by && a.expires > now)",
    "signatures.exists(s, s.by == 'dan' && !s.machine)", "'staging' in confirmed && soak['staging'] >= duration('1h') && soak.staging < duration('2h')", "age == duration('7200s')",
    "calendar.weekday == 'wednesday' && calendar.hour == 10 && calendar.date == '2026-03-04' && now.getHours('Europe/Berlin') == 11 && now.getHours() == 10 && now.getDayOfWeek() == 3",
    "now == timestamp('2026-03-04T10:30:00Z')", "question.environment == 'production' && question.direction == 'promote' && 'release' in question.roles", "release.clean && release.source == ''",
    "witnessed.size == 9 && witnessed.covers && witnessed.witnesses.size() == 0", 'release.components.size() == 1 && release.digest.startsWith("sha256:")',
  ]) holds(expression, facts);
  assert.deepEqual(Object.keys(factTexts).toSorted(), Object.keys(factSpecs).toSorted());
});

test('what a stranger, a revoked key or a key outside its validity said is in no fact', () => {
  const said = (change: object) => ({ statements: [statement('eve', { kind: 'signature' }, change)] });
  holds('signatures.size() == 1', said({}));
  holds('signatures.size() == 0', said({ signer: { kind: 'key', key: keyOf('mallory') } }));
  holds('signatures.size() == 0', { ...said({}), revokedKeys: [{ key: keyOf('eve'), after: null, by: 'ada', reason: 'lost' }] });
  holds('signatures.size() == 1', { ...said({ logIndex: 4 }), revokedKeys: [{ key: keyOf('eve'), after: 4, by: 'ada', reason: 'lost' }] });
  holds('signatures.size() == 0', { ...said({ logIndex: 5 }), revokedKeys: [{ key: keyOf('eve'), after: 4, by: 'ada', reason: 'lost' }] });
  holds('signatures.size() == 0', said({ subjects: [keyOf('another')] }));
  holds('provenance.size() == 0', { statements: [statement('ada', built('ada', { commit: 'badcafe' })), statement('ada', built('rex'))] });
});

test('of approvals only those count that are unexpired, of this place, by who signed them, once a person', () => {
  const given = (...statements: Evidence['statements'][number][]) => ({ statements });
  holds('approvals.size() == 1', given(statement('eve', approves('eve')), statement('eve', approves('eve'), { signer: { kind: 'key', key: keyOf('eve2') }, logIndex: 2 })));
  holds('approvals.size() == 0', given(statement('eve', approves('eve', { expires: now }))));
  holds('approvals.size() == 1', given(statement('eve', approves('eve', { expires: now + 1 }))));
  holds('approvals.size() == 0', given(statement('eve', approves('rex')), statement('rex', approves('rex', { environment: 'staging' })), statement('rex', approves('rex', { application: 'other' }))));
});

test('the newest scan of a component speaks, and one that knows no severity ranks highest', () => {
  const mended = [scan('eve', [{ id: 'CVE-1', severity: 'critical' }]), scan('eve', [], { logIndex: 2 })];
  holds('vulnerabilities.size() == 0 && scans.size() == 1', { statements: mended });
  holds('vulnerabilities.size() == 1', { statements: [mended[0], scan('eve', [], { logIndex: 2, subjects: [release] })].filter((one) => one !== undefined) });
  holds('vulnerabilities[0].rank == 5', { statements: [scan('eve', [{ id: 'CVE-2', severity: 'unknown' }])] });
});

test('a refusal names the conjunct that failed, the first element that failed it, and the values', () => {
  const statements = [bill(2), statement('ada', { kind: 'sbom', packages: packages(1, ['GPL-3.0']) }, { logIndex: 2 }), scan('eve', [{ id: 'CVE-1', severity: 'low' }, { id: 'CVE-7', severity: 'critical' }])];
  const nearest = (expression: string) => judge(expression, { statements })?.nearest;
  assert.equal(nearest("release.clean && packages.all(p, !('GPL-3.0' in p.licenses))"), "packages: pkg:npm/p0@1.0.0, licenses [GPL-3.0], by ada: !('GPL-3.0' in p.licenses): 'GPL-3.0' in p.licenses is true");
  assert.equal(nearest('vulnerabilities.all(v, v.rank < 3 || has(v.fixed))'), 'vulnerabilities: CVE-7, package pkg:npm/a@1, severity critical, by eve: v.rank < 3: v.rank is 4; and has(v.fixed) is false');
  assert.equal(nearest('vulnerabilities.size() <= 1'), 'vulnerabilities.size() <= 1: vulnerabilities.size() is 2');
  assert.equal(nearest("approvals.exists(a, a.by == 'eve')"), "approvals is empty, so none is there for which a.by == 'eve'");
  assert.equal(nearest("scans.exists(s, s.by == 'ada')"), "none of 1 in scans with s.by == 'ada': an element: s.by == 'ada': s.by is 'eve'".replace('an element', 'osv, by eve'));
  assert.equal(nearest("question.direction == 'rollback' ? true : age > duration('30d')".replace('30d', '720h')), "age > duration('720h'): age is 2 hours, duration('720h') is 30 days");
});

test('an expression that does not evaluate is a failed rule that says why, never an admission', () => {
  const rule = judge("soak['staging'] > duration('1h')");
  assert.deepEqual([rule?.passed, rule?.cause], [false, 'unmet']);
  assert.match(rule?.found ?? '', /no answer: .*staging/);
  assert.match(judge('tests.exists(t, t.passed > 3)', { statements: [statement('ada', { kind: 'tests', result: 'PASSED', passed: null, failed: null })] })?.found ?? '', /no answer/);
  assert.equal(judge('tests[7].passed > 3')?.passed, false);
  assert.equal(judge('1 / packages.size() == 1')?.passed, false);
  // Errors that one side of an || makes up for are CEL's own; what is left of them is not true.
  holds("soak['staging'] > duration('1h') || release.clean");
});

test('an expression that gives no bool is refused, and so is what does not type, with the nearest name', () => {
  for (const [expression, fix] of [
    ['packages.size()', /Compare/], ['relase.clean', /"release"/], ['release.comit == "a"', /"commit"/], ["release.commit.startWith('a')", /"startsWith"/], ['packages.all(p, p.nam == "x")', /"name"/],
    ['release.commit > 3', /guide/], ['now > 3', /guide/], ['vulnerabilities.all(v, v.severity < 3)', /guide/], ['release == release', /guide/], ["{'a': 1} == {'a': 1}", /field by|fields/], ['null == null', /has/],
    ["['a', 1].size() == 2", /guide/], ["release.commit.matches(release.application)", /Such as/], ['dyn(1) == 1', /Known|Did/], ['age > now', /guide/],
  ] as const) {
    assert.throws(() => check(expression), (error) => error instanceof CairnError && error.code === 'invalid-policy' && fix.test(error.fix ?? ''), expression);
  }
});

test('CEL that loops is refused before it runs, by declared sizes at the check and by actual ones at a decision', () => {
  refusedFor('expression-loops', () => check('packages.all(p, packages.exists(q, p.name == q.name))'));
  refusedFor('expression-loops', () => judge('packages.all(p, packages.exists(q, p.name == q.name))', { statements: [bill(3000)] }));
  refusedFor('expression-loops', () => check("packages.all(p, p.purl.matches('a.*b'))".replace('p.purl', '(p.purl + p.purl + p.purl + p.purl + p.purl)')));
  holds('packages.all(p, packages.exists(q, p.name == q.name))', { statements: [bill(100)] });
  check('packages.all(p, p.name != "left-pad")');
  check('packages.filter(p, p.type == "npm").map(p, p.name).size() < 1000');
});

test('CEL that nests is refused before it is parsed, and loops within loops are bounded', () => {
  refusedFor('expression-too-deep', () => check(`${'('.repeat(2000)}true${')'.repeat(2000)}`));
  refusedFor('expression-too-deep', () => check(`${'['.repeat(60)}1${']'.repeat(60)} == []`));
  refusedFor('expression-too-deep', () => check(`${'1+'.repeat(60)}1 == 61`));
  refusedFor('expression-too-deep', () => check("['a'].all(a, ['a'].all(b, ['a'].all(c, ['a'].all(d, a == b && c == d))))"));
  refusedFor('expression-too-large', () => check(Array.from({ length: 600 }, () => '1==1').join('&&')));
  refusedFor('expression-too-long', () => check(`release.commit == '${'a'.repeat(5000)}'`));
  check(`release.commit != '${'('.repeat(500)}'`);
});

test('CEL that allocates is refused before it runs', () => {
  refusedFor('expression-allocates', () => check('packages.map(p, sboms.map(s, s.by + p.name)).size() > 0'));
  const doubling = `['${'a'.repeat(2000)}'].map(a, [A].map(b, [B].map(c, C)))`.replace('A', Array.from({ length: 20 }, () => 'a').join('+')).replace('B', Array.from({ length: 20 }, () => 'b').join('+')).replace('C', Array.from({ length: 20 }, () => 'c').join('+'));
  refusedFor('expression-allocates', () => check(`${doubling}.size() > 0`));
  refusedFor('expression-allocates', () => check('packages.map(p, p.purl + p.purl + p.purl + p.purl).size() > 0'));
});

test('a pattern is bounded, and is never one that comes with the evidence', () => {
  refusedFor('expression-pattern', () => check("release.commit.matches('((a{100}){100}){100}')"));
  refusedFor('expression-pattern', () => check(`release.commit.matches('${'a'.repeat(300)}')`));
  refusedFor('expression-pattern', () => check('packages.all(p, p.name.matches(p.version))'));
  const began = performance.now();
  assert.equal(judge("release.commit.matches('^(a|a)*$')", { commit: `${'a'.repeat(4000)}b` })?.passed, false);
  assert.ok(performance.now() - began < 1000);
});

test('lists that are gathered take time by their length, not by its square', () => {
  const began = performance.now();
  holds('packages.filter(p, p.version == "1.0.0").map(p, p.name).exists(n, n == "p19999")', { statements: [bill(20_000)] });
  assert.ok(performance.now() - began < 8000, `${performance.now() - began} ms`);
});

test('a time-out is an internal error and never a verdict', () => {
  assert.throws(() => withinPatience(() => { for (;;); }, 50), { code: 'internal' });
});

test('a rule that cannot be decided takes no way back away, unless it binds there', () => {
  const loops = 'packages.all(p, packages.exists(q, p.name == q.name))';
  const back = { ...question, direction: 'rollback' } as const;
  const large = { ...evidence, statements: [bill(3000)] };
  const decision = decide(policyOf([cel(loops)]), large, back);
  assert.deepEqual([decision.passed, decision.rules.at(-1)?.passed], [true, false]);
  refusedFor('expression-loops', () => decide(policyOf([cel(loops, { blocksRollback: true })]), large, back));
});

test('a decision by the clock holds for a second, one by approvals until the first expires, others for ever', () => {
  const until = (expression: string) => decide(policyOf([cel(expression)]), { ...evidence, statements: [statement('eve', approves('eve'))] }, question).validUntil;
  assert.equal(until("age > duration('1h')"), now + 1);
  assert.equal(until('calendar.hour < 12'), now + 1);
  assert.equal(until('approvals.size() == 1'), now + 60);
  assert.equal(until('release.clean'), null);
});

test('parts of a time are those of UTC, whatever zone the machine is in and whether the hour exists there', () => {
  holds("timestamp('2026-03-29T02:30:00Z').getHours() == 2 && timestamp('2026-03-29T01:30:00Z').getHours('Europe/Berlin') == 3 && timestamp('2026-03-29T00:30:00Z').getHours('Europe/Berlin') == 1");
  holds("timestamp('2026-01-01T00:30:00Z').getDayOfYear() == 0 && timestamp('2025-12-31T23:30:00Z').getDayOfYear('+01:00') == 0 && timestamp('2026-01-01T00:30:00Z').getFullYear('-01:00') == 2025");
  assert.equal(component.length, 71);
});
