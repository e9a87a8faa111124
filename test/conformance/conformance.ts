import { existsSync } from 'node:fs';
import { folder as merkle, merkleProofs } from './merkle.ts';
import { answer, expected, folder as sigstore, sigstoreCases } from './sigstore.ts';

// npm run conformance [-- sigstore|merkle]: other people's cases, counted by suite, good and bad apart.

interface Count { readonly suite: string; readonly good: string; readonly bad: string; readonly wrong: readonly string[] }

const suites: Readonly<Record<string, { readonly folder: string; readonly run: () => Count[] }>> = {
  sigstore: {
    folder: sigstore,
    run: () => (['path', 'digest'] as const).map((by) => {
      const answers = sigstoreCases().filter((one) => one.by === by).map(answer);
      const right = (one: (typeof answers)[number]) => one.reason === (expected.get(one.name) ?? null);
      return count(`sigstore by ${by}`, answers.map((one) => ({ good: one.good, right: right(one), name: `${one.name}: ${one.reason ?? 'accepted'}, not ${expected.get(one.name) ?? 'accepted'}` })));
    }),
  },
  merkle: {
    folder: merkle,
    run: () => (['inclusion', 'consistency'] as const).map((kind) => count(`merkle ${kind}`, merkleProofs().filter((one) => one.kind === kind).map((one) => ({ good: one.good, right: one.good === one.accepted, name: one.name })))),
  },
};

function count(suite: string, answers: readonly { good: boolean; right: boolean; name: string }[]): Count {
  const of = (good: boolean) => {
    const those = answers.filter((one) => one.good === good);
    return `${those.filter((one) => one.right).length} of ${those.length}`;
  };
  return { suite, good: of(true), bad: of(false), wrong: answers.filter((one) => !one.right).map((one) => one.name) };
}

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !(name in suites));
if (unknown !== undefined) {
  console.error(`There is no suite ${unknown}; there are ${Object.keys(suites).join(', ')}.`);
  process.exit(2);
}
console.log(`${'suite'.padEnd(20)} ${'good accepted'.padStart(14)} ${'bad refused, for the right reason'.padStart(34)}`);
for (const [name, suite] of Object.entries(suites).filter(([one]) => wanted.length === 0 || wanted.includes(one))) {
  if (!existsSync(suite.folder)) {
    console.error(`${name}: test material is not at hand: ${suite.folder}`);
    process.exitCode = 1;
    continue;
  }
  for (const one of suite.run()) {
    console.log(`${one.suite.padEnd(20)} ${one.good.padStart(14)} ${one.bad.padStart(34)}`);
    for (const wrong of one.wrong) console.log(`  wrong: ${wrong}`);
    if (one.wrong.length > 0) process.exitCode = 1;
  }
}
