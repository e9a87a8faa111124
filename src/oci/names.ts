import { CairnError, isDigest, type Digest } from '#core';

// The names of distribution-spec ("Pulling manifests"). They become paths, so that whoever can push chooses file names: what does
// not match is refused before any path is made of it. No component may start with `.` or `_`, which leaves those to us.

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryForm = new RegExp(`^${component}(?:/${component})*$`);
const tagForm = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const evidenceForm = /^sha256-[0-9a-f]{64}(\.(sig|att|sbom))?$/;

/** Long enough for any registry, short enough for any file system. */
const longest = 255;

/** @throws CairnError `invalid-configuration` */
export function checkRepositoryName(name: string): string {
  if (name.length <= longest && repositoryForm.test(name)) return name;
  throw new CairnError('invalid-configuration', `${JSON.stringify(name.slice(0, 100))} is not a repository name`, {
    fix: 'Use lower-case letters, digits, and . _ - between them; parts are separated by /',
    context: { part: 'name' },
  });
}

/** @throws CairnError `invalid-digest` or, for what has no colon, `unknown-reference` */
export function parseReference(reference: string): { digest: Digest } | { tag: string } {
  if (isDigest(reference)) return { digest: reference };
  if (tagForm.test(reference)) return { tag: reference };
  const code = reference.includes(':') ? 'invalid-digest' : 'unknown-reference';
  throw new CairnError(code, `${JSON.stringify(reference.slice(0, 100))} is neither a tag nor a sha256 digest`);
}

/** Tags that clients of registries without a referrers list keep beside an image: they grow with the evidence, so they may move. */
export function isEvidenceTag(tag: string): boolean {
  return evidenceForm.test(tag);
}

/** The tag that holds the referrers of a subject where the registry keeps none (distribution-spec, "Referrers Tag Schema"). */
export function fallbackTag(subject: Digest): string {
  return subject.replace(':', '-');
}
