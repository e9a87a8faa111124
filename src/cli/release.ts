import { makeStatement, provenance, signEnvelope, subjectOf } from '#attest';
import { buildApplication, resolveCommit } from '#build';
import { canonicalJson, shortDigest } from '#core';
import { copyTree, emptyBytes, fileStore, mediaTypes, registryClient, type Platform } from '#oci';
import { makeRelease } from '#release';
import { spkiOf } from '#sign';
import type { Context } from './context.ts';
import { row, run, type CommonFlags } from './output.ts';
import { openSession, ownSigner, persist, personName, readDefinition } from './session.ts';

export async function release(this: Context, flags: CommonFlags): Promise<void> {
  await run(this, flags, async () => {
    const { system } = this;
    const say = (label: string, ...columns: string[]) => (flags.json ? undefined : row(this, label, ...columns));
    const commit = await resolveCommit(system.environment, system.directory);
    const { application } = await readDefinition(system);
    const { api, home, url } = await openSession(system);
    const { origin } = await api.info();
    say('source', `${commit.commit.slice(0, 7)} "${commit.subject}"`, `clean, ${commit.branch}`);

    const store = fileStore(home.paths.builds);
    const [os = '', architecture = ''] = system.platform.split('/');
    const platform: Platform = { os, architecture };
    const built = await buildApplication({
      repository: system.directory, commit, application, store, cache: home.paths.builds, host: system.environment, nodeBinary: system.nodeBinary, platform, clock: system.clock,
      progress: ({ stage, layer, milliseconds }) => layer && say(`ok ${stage}`, `${((milliseconds ?? 0) / 1000).toFixed(1)} s`, `layer ${shortDigest(layer.descriptor.digest)} ${size(layer.descriptor.size)}`),
    });
    const { definition } = built;
    const made = makeRelease({
      application, source: { uri: definition.source ?? null, commit: commit.commit }, created: commit.committedAt, toolchain: [...built.toolchain], stages: built.stages,
      components: built.components.map(({ name, manifest }) => ({ name, ...definition.components[name], manifests: [manifest] })),
      configuration: definition.configuration, schema: definition.schema ?? null,
    });
    for (const bytes of [emptyBytes, made.documentBytes, made.documentManifest, ...made.componentIndexes, made.index]) await store.write(bytes);
    const registry = registryClient(url, application);
    await persist(system, () => copyTree(store, registry, { mediaType: mediaTypes.imageIndex, digest: made.digest, size: made.index.byteLength }));
    for (const index of made.componentIndexes) await registry.pushManifest(index, mediaTypes.imageIndex);

    const again = (await api.findRelease(application, made.digest.slice(7))).length > 0;
    if (!again) {
      const statement = provenance({
        subject: [subjectOf(application, made.digest), ...made.document.components.map((one) => subjectOf(one.name, one.digest))],
        application, source: { uri: definition.source ?? `git+https://${origin}/${application}`, commit: commit.commit }, stages: built.stages,
        environment: built.environment, dependencies: built.dependencies, builder: { id: `https://${origin}/builders/${personName(system)}`, version: system.version },
        invocation: system.random(16), startedAt: built.startedAt, finishedAt: built.finishedAt,
      });
      // Only now, with every stage dead, is the key opened.
      const signer = await ownSigner(system, home);
      const signed = { envelope: signEnvelope(makeStatement(statement), signer), key: spkiOf(signer.publicKey).toString('base64') };
      const logged = await persist(system, () => api.addStatement(application, signed));
      say('ok proof', 'provenance', `signed ${personName(system)}, logged ${logged.logIndex}`);
    }
    say(application, made.digest, again ? 'released before: the same digest' : 'same commit, same digest, anywhere');
    say('next', `cairn promote ${shortDigest(made.digest)} staging`);
    return { release: made.digest, commit: commit.commit, again, document: JSON.parse(canonicalJson(made.document).toString('utf8')) as unknown };
  });
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
