import { bundleMediaType, parseBundle, subjectDigests } from '#attest';
import { canonicalJson, CairnError, digestOf, shortDigest } from '#core';
import { isIndex, parseManifest, registryClient } from '#oci';
import { parsePolicy, personOf } from '#policy';
import { verifierOf, verifyBundle } from '#verify';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, readDefinition, resolveRelease } from './session.ts';
import { rememberCheckpoint, trustOf } from './trust.ts';

/**
 * Checks a release from its bytes, believing only cairn.trust.json: the policy against its digest, the log against the
 * checkpoint remembered here, the index against the digest, every attached statement's signature and proof.
 */
export async function verify(this: Context, flags: CommonFlags, reference: string): Promise<void> {
  await run(this, flags, async () => {
    const session = await openSession(this.system);
    const { application } = await readDefinition(this.system);
    const trust = await trustOf(this.system, session);
    const log = verifierOf(trust);
    const info = await session.api.info();
    const checkpoint = await rememberCheckpoint(session, log, info.checkpoint.note);
    const policyBytes = canonicalJson(await session.api.policy());
    if (digestOf(policyBytes) !== trust.policy) throw new CairnError('verification-failed', "the server's policy is not the one in cairn.trust.json", { fix: 'Do not promote; compare cairn.trust.json with its history' });
    const policy = parsePolicy(policyBytes);

    const release = await resolveRelease(session.api, application, reference);
    const registry = registryClient(session.url, application);
    const { bytes, mediaType } = await registry.manifest(release);
    const members = parseManifest(bytes, mediaType);
    const keys = [...policy.people.flatMap((one) => one.keys), ...Object.values(trust.keys.admit)];
    const statements = [];
    for (const referrer of await registry.referrers(release)) {
      if (referrer.artifactType !== bundleMediaType) continue;
      const manifest = parseManifest((await registry.manifest(referrer.digest)).bytes);
      const [layer] = isIndex(manifest) ? [] : manifest.layers;
      if (layer === undefined) continue;
      const verified = verifyBundle(parseBundle(await registry.blob(layer.digest)), { log, keys });
      if (!subjectDigests(verified.statement).includes(release)) throw new CairnError('verification-failed', `the statement at log entry ${verified.logIndex} is about something else`);
      const admitted = Object.entries(trust.keys.admit).find(([, key]) => key === verified.key)?.[0];
      const signer = personOf(policy, verified.key)?.name ?? `admit-${admitted}`;
      statements.push({ predicateType: verified.statement.predicateType, signer, logIndex: verified.logIndex, time: verified.time });
    }
    if (statements.length === 0) throw new CairnError('verification-failed', `nothing that this policy knows vouches for ${shortDigest(release)}`, { fix: 'cairn release' });
    if (!flags.json) {
      row(this, 'release', `${application} ${release}`);
      row(this, 'parts', `${isIndex(members) ? members.manifests.length : 0} manifests`);
      for (const one of statements.toSorted((a, b) => a.logIndex - b.logIndex)) row(this, 'ok', one.predicateType, `by ${one.signer}`, `logged ${one.logIndex}`);
      row(this, 'log', `${info.origin}, ${checkpoint.size} entries`, 'grew from what this machine saw before');
    }
    return { release, statements, checkpoint: checkpoint.size };
  });
}
