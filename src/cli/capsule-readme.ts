import { createPublicKey } from 'node:crypto';
import { parsePredicate, subjectDigests, type Bundle, type Statement } from '#attest';
import { canonicalJson, digestOf, shortDigest } from '#core';
import type { Policy } from '#policy';
import { keyHint } from '#sign';
import type { Trust } from '#verify';
import { keyFiles } from './capsule-collect.ts';
import { bundlePath, capsulePaths, foreignPath, kindOf, policyPath, sigstoreRootPath, type CapsuleAbout } from './capsule-form.ts';
import type { ReleaseParts } from './capsule-release.ts';

interface Signed {
  readonly bundle: Bundle;
  readonly statement: Statement;
  readonly logIndex: number;
}

/** What a person reads who has the capsule and no Cairn: what is in it, and how to check it with cosign alone. */
export function capsuleReadme(about: CapsuleAbout, parts: ReleaseParts, found: readonly Signed[], policies: readonly Policy[], trust: Trust): string {
  const { application, release, checkpoint } = about;
  const keys = new Map([...keyFiles(trust, policies)].map(([path, spki]) => [keyHint(createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' })), path]));
  const signed = found.map((one) => ({ ...one, path: bundlePath(one.statement, one.logIndex), key: keys.get(one.bundle.verificationMaterial.publicKey.hint) ?? '' }));
  const own = new Set<string>([release, ...parts.components]);
  const verify = (wanted: (kind: string) => boolean) => signed.filter(({ statement, key }) => wanted(kindOf(statement)) && key !== '').map(({ path, key, statement }) => {
    const subject = kindOf(statement) === 'policy' ? subjectDigests(statement)[0] : subjectDigests(statement).find((one) => own.has(one)) ?? subjectDigests(statement)[0];
    return `cosign verify-blob-attestation --key ${key} --bundle ${path} --trusted-root ${capsulePaths.trustedRoot} --type ${quoted(statement.predicateType)} --digest ${subject?.slice(7)} --digestAlg sha256`;
  });
  const block = (lines: readonly string[]) => (lines.length === 0 ? 'There are none.\n' : `\`\`\`sh\n${lines.join('\n')}\n\`\`\`\n`);
  const foreign = signed.filter(({ statement }) => kindOf(statement) === 'foreign');
  return `# ${application} ${shortDigest(release)}

Everything that was decided about one release, and all that it was decided on. Made by Cairn ${about.cairn} at ${about.created}.

| | |
|---|---|
| release | \`${release}\` |
| built from | commit \`${parts.document.source.commit}\` |
| log | \`${about.origin}\`, ${checkpoint.size} entries, root \`${checkpoint.root}\` |

${signed.filter(({ statement }) => kindOf(statement) === 'verdict').map(({ statement, path }) => verdictLine(statement, path)).join('\n') || 'It was never asked to be let in anywhere.'}

## What is here

| folder | holds |
|---|---|
| \`release/\` | index, document and manifests of the release; each file's name is its digest. Layers are not in it: the manifests bind them (${about.without.length} blobs) |
| \`evidence/\` | each statement that was weighed, or could be: a Sigstore bundle with signature and log proof. The number is its place in the log |
| \`verdicts/\` | what was decided, passed and failed |
| \`record/\` | who asked, what was begun, how it ended |
| \`policy/\` | every version of the policy that decides, and who signed it |
| \`foreign/\` | what other tools signed, as they wrote it |
| \`proofs/\` | the newest checkpoint of the log; for each statement its proof of inclusion (C2SP tlog-proof); from each older checkpoint the proof that it is the beginning of the newest |
| \`trust/\` | the keys, for cosign and openssl; \`cairn.trust.json\`, from which they come |
| \`manifest.json\` | every file with size and SHA-256 |

## Before you start

The keys in \`trust/\` come with what they are to prove. Compare \`trust/cairn.trust.json\` with the one that stands in the repository of
${application}, which you got from somebody else. If it is another one, nothing below means anything.

## All of it, with Cairn

\`\`\`text
cairn verify --capsule FILE --trust cairn.trust.json
\`\`\`

It needs no network, no server and no account. It checks every signature, proof and digest, and makes each decision again.

## With cosign alone

Run this in the folder where this page lies. Every line must end with \`Verified OK\`.

The release: each file hashes to its name, and the index leads to the others.

\`\`\`sh
test -f release/${release.slice(7)}.json
(cd release && for one in *.json; do echo "\${one%.json}  $one"; done | sha256sum --check --strict --quiet)
\`\`\`

What was decided. An environment's admit key signs nothing but what it lets in:

${block(verify((kind) => kind === 'verdict'))}
What it was decided on:

${block(verify((kind) => !['verdict', 'policy', 'request', 'intent', 'outcome', 'incident', 'resolution', 'drill'].includes(kind)))}
Who asked, and what came of it:

${block(verify((kind) => ['request', 'intent', 'outcome', 'incident', 'resolution', 'drill'].includes(kind)))}
The policy, and who signed it:

${block([...policies.map((policy) => `echo "${digestOf(canonicalJson(policy)).slice(7)}  ${policyPath(policy.version)}" | sha256sum --check --strict --quiet`), ...verify((kind) => kind === 'policy')])}
${foreign.length === 0 ? '' : foreignPart(foreign, keys, own)}
What a statement says:

\`\`\`sh
grep -o '"payload":"[^"]*"' ${signed[0]?.path ?? ''} | cut -d '"' -f 4 | base64 -d
\`\`\`

## What cosign does not see

That the log never showed another history (\`proofs/\`), that each policy follows from the one before it, that nothing which was weighed was left
out, and that the verdict follows from the evidence. \`cairn verify --capsule\` does. Nobody can see from a capsule what its maker left out of it
beside that, such as a later revocation: ask for a new one, or ask the log.
`;
}

function verdictLine(statement: Statement, path: string): string {
  const { verificationResult, timeVerified, 'https://cairn.internal/verdict/v1': verdict } = parsePredicate('verdict', statement);
  return `- ${timeVerified}: ${verificationResult === 'PASSED' ? 'let into' : 'refused for'} ${verdict.environment}, revision ${verdict.revision} (\`${path}\`)`;
}

/** By the key of a person where it names one; an identity is for the reader to put in, since no file here can say whose it must be. */
function foreignPart(foreign: readonly Signed[], keys: ReadonlyMap<string, string>, own: ReadonlySet<string>): string {
  const lines = foreign.flatMap(({ statement, logIndex }) => {
    const said = parsePredicate('foreign', statement);
    if (said.form !== 'bundle') return [];
    const { verificationMaterial: { publicKey } = {}, dsseEnvelope } = JSON.parse(said.bundle) as { verificationMaterial?: { publicKey?: { hint?: string } }; dsseEnvelope?: { payload: string } };
    if (dsseEnvelope === undefined) return [];
    const { predicateType, subject } = JSON.parse(Buffer.from(dsseEnvelope.payload, 'base64').toString('utf8')) as { predicateType: string; subject: { digest: { sha256: string } }[] };
    const about = subject.find(({ digest }) => own.has(`sha256:${digest.sha256}`))?.digest.sha256;
    const key = keys.get(publicKey?.hint ?? '');
    const rest = `--bundle ${foreignPath(logIndex)} --type ${quoted(predicateType)} --digest ${about} --digestAlg sha256`;
    if (key !== undefined) return [{ sure: true, line: `cosign verify-blob-attestation --key ${key} --trusted-root ${capsulePaths.trustedRoot} ${rest}` }];
    return [{ sure: false, line: `cosign verify-blob-attestation --certificate-identity IDENTITY --certificate-oidc-issuer ISSUER --trusted-root ${sigstoreRootPath(0)} ${rest}` }];
  });
  const block = (language: string, sure: boolean) => {
    const chosen = lines.filter((one) => one.sure === sure).map(({ line }) => line);
    return chosen.length === 0 ? '' : `\n\`\`\`${language}\n${chosen.join('\n')}\n\`\`\`\n`;
  };
  return `What other tools signed:\n${block('sh', true)}${block('text', false) === '' ? '' : `\nThe policy names whose identities count: put them in.\n${block('text', false)}`}`;
}

/** A type is whatever somebody wrote: for a shell it is one word. */
function quoted(text: string): string {
  return /^[A-Za-z0-9:/._-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
