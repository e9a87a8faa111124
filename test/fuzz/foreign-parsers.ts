import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { stringify } from 'yaml';
import { canonicalJson, digestOf, sha256 } from '#core';
import { trustedRoot } from '#log';
import { decide, parsePolicy, readPolicyFile } from '#policy';
import { parseSigstoreRoot, parseSigstoreRoots, seedRoot, verifyForeign, type ForeignVerified } from '#verify';
import { readCapsule } from '../../src/cli/capsule-archive.ts';
import { evidence, policyOf, question } from '../../src/policy/fixture.ts';
import { folder as conformance } from '../conformance/sigstore.ts';
import { corpus, type Parser } from './engine.ts';
import { hold, known, log } from './known.ts';

// What other tools and other people bring: their bundles, their roots, a capsule that came by mail, a policy file, an expression in it.

const ownRoot = canonicalJson(trustedRoot(log, '2026-01-01T00:00:00Z'));
const options = { root: parseSigstoreRoot(ownRoot), keys: known.people, ours: log };
const meaning = ({ signer, content, log: logged }: ForeignVerified) => ({ signer, content, logged });
const ours = corpus('bundle').map((bytes) => meaning(verifyForeign(bytes, options)));

const samples = ['happy-path-intoto-in-dsse-v3'].map((name) => join(conformance, 'bundle-verify', name, 'bundle.sigstore.json')).filter((path) => existsSync(path)).map((path) => readFileSync(path));
const publicGood = { root: seedRoot() };
const theirs = samples.map((bytes) => meaning(verifyForeign(bytes, publicGood)));
const keyless: Parser[] = samples.length === 0 ? [] : [
  {
    // Each takes some thirty milliseconds: certificates, a timestamp, and a second opinion.
    name: 'foreign-keyless', corpus: samples, milliseconds: 1000,
    run: (bytes) => hold(theirs.some((one) => isDeepStrictEqual(one, meaning(verifyForeign(bytes, publicGood)))), 'a bundle that nobody signed verifies'),
  },
];

const file = (name: string, body: string) => ({ name, body });
const contents = [file('README.md', 'read'), file('evidence/00000003-sbom.sigstore.json', '{}'), file('proofs/checkpoint', 'note')];
const about = { kind: 'cairn-capsule', version: 1, cairn: '0', created: '2026-01-01T00:00:00Z', origin: 'log', application: 'shop', release: digestOf('release'), checkpoint: { size: 1, root: 'b'.repeat(64) }, without: [] };
const listed = contents.map(({ name, body }) => ({ path: name, kind: 'file', mode: 0o644, size: body.length, sha256: sha256(body).toString('hex') }));
const archive = pack();
for (const { name, body } of [...contents, file('manifest.json', JSON.stringify({ ...about, files: listed }))]) archive.entry({ name, mode: 0o644, mtime: new Date(0) }, body);
archive.finalize();
const capsule = await buffer(archive);
const scratch = mkdtempSync('/tmp/cairn-fuzz-');
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

const expressions = [
  "provenance.exists(p, p.by == 'ada' && 'builder' in p.roles && p.commit == release.commit)", "packages.all(p, p.type == 'npm' && p.licenses.all(l, l in ['MIT', 'ISC']))", "tests.exists(t, t.result == 'PASSED' && t.passed > 40 && !has(t.failed))",
  "scans.exists(s, s.scanner == 'osv' && now - s.finished < duration('1h'))", 'vulnerabilities.all(v, v.rank < 3)', "findings.filter(f, f.level == 'error').size() == 0", "'staging' in confirmed && soak['staging'] >= duration('1h')",
  "calendar.weekday == 'wednesday' && now.getHours('Europe/Berlin') == 11", "release.components.size() == 1 && release.digest.startsWith('sha256:')", "release.commit.matches('^[0-9a-f]+$')",
];
const expression = fc.letrec<{ it: string }>((tie) => ({
  it: fc.oneof({ depthSize: 'small' },
    fc.constantFrom('1', '-1', '0', '9223372036854775807', '1.5', '1u', 'true', 'null', "'a'", 'b"x"', '[]', '{}', 'now', 'age', 'packages', 'release', 'release.commit', 'provenance', 'p', "duration('1h')", "timestamp('2026-01-01T00:00:00Z')"),
    fc.tuple(tie('it'), fc.constantFrom('+', '-', '*', '/', '%', '==', '<', '&&', '||', 'in', '?'), tie('it')).map(([a, operator, b]) => (operator === '?' ? `(${a} ? ${b} : ${a})` : `(${a} ${operator} ${b})`)),
    fc.tuple(tie('it'), fc.constantFrom('all', 'exists', 'map', 'filter', 'exists_one'), tie('it')).map(([list, macro, body]) => `${list}.${macro}(p, ${body})`),
    fc.tuple(tie('it'), fc.constantFrom('size', 'matches', 'contains', 'startsWith', 'getHours', 'foo'), tie('it')).map(([of, name, by]) => `${of}.${name}(${by})`),
    fc.array(tie('it'), { maxLength: 4 }).map((all) => `[${all.join(', ')}]`),
    fc.tuple(fc.constantFrom('!', '-', 'size', 'string', 'int', 'has', 'type'), tie('it')).map(([name, one]) => `${name}(${one})`)),
})).it;

export const foreignParsers: readonly Parser[] = [
  {
    name: 'foreign', corpus: corpus('bundle'), grammar: fc.json({ maxDepth: 6 }),
    run: (bytes) => hold(ours.some((one) => isDeepStrictEqual(one, meaning(verifyForeign(bytes, options)))), 'a bundle that nobody signed verifies'),
  },
  ...keyless,
  {
    name: 'trusted-root', corpus: [ownRoot, readFileSync(join(import.meta.dirname, '../../src/verify/roots/sigstore-public-good.json'))], grammar: fc.json({ maxDepth: 6 }), milliseconds: 600,
    run: (bytes) => void [parseSigstoreRoots(bytes), parseSigstoreRoot(bytes)],
  },
  {
    name: 'capsule', corpus: [capsule],
    run: async (bytes) => {
      const path = join(scratch, 'capsule.tar');
      writeFileSync(path, bytes);
      const { files } = await readCapsule(path);
      hold([...files.keys()].every((name) => /^[A-Za-z0-9_.:/-]+$/.test(name) && !name.includes('..') && !name.startsWith('/')), 'a capsule holds a name that leads elsewhere');
    },
  },
  {
    name: 'policy-file', corpus: corpus('policy').slice(0, 1).map((bytes) => Buffer.from(stringify(JSON.parse(bytes.toString())))),
    // Its author's own file, read once.
    milliseconds: 3000, megabytes: 400,
    run: (bytes) => {
      const policy = readPolicyFile(bytes.toString('utf8'), 'policy.yaml', undefined);
      hold(isDeepStrictEqual(parsePolicy(canonicalJson(policy)), policy), 'a policy file reads as no policy');
    },
  },
  {
    name: 'cel', corpus: expressions.map((one) => Buffer.from(one)), grammar: expression, milliseconds: 600,
    run: (bytes) => {
      const policy = policyOf([{ kind: 'cel', name: 'gate', expression: bytes.toString('utf8'), blocksRollback: false }]);
      const { rules } = decide(policy, evidence, question);
      hold(rules.some(({ rule }) => rule === 'gate'), 'a rule is missing in the decision');
    },
  },
];
