import { join } from 'node:path';
import { asCairnError, canonicalJson, digestOf, writeFileDurable } from '#core';
import { readFile } from 'node:fs/promises';
import { adoptNextLogKey, believedRoots, findNextLogKey, loadSealer, loadServerKeys, makeNextLogKey, openHome, readToken, sendWaiting } from '#home';
import { openLedger, openReader, type OpenLedger } from '#ledger';
import { fileRepositories, fileStore } from '#oci';
import { delivery, type Gateway, type Launch, type Registry } from '#release';
import { runnerClient, type Launch as WireLaunch, type RunnerClient } from '#runner';
import { apiClient, collectGarbage, collector, embeddedRegistry, fileSecrets, LogTrust, startServer } from '#server';
import { logNoteKeys, signingConfig, trustedRoot } from '#log';
import { spkiOf, type Signer } from '#sign';
import { trustBody, verifyBundle } from '#verify';
import { startWitnessing } from '#witness';
import { predicateTypes } from '#attest';
import { writeSigstoreFiles } from './sigstore.ts';
import { faultsFrom, homeDirectory, platform, systemClock, version } from './system.ts';

// The control server's process: decides and records. It holds nothing that runs; killed at any instant it starts again by this
// same path.

async function main(): Promise<void> {
  const { paths, settings } = await openHome(homeDirectory(process.env));
  const faults = faultsFrom(process.env);
  const keys = await loadServerKeys(paths.keys, settings.environments.map((one) => one.name));
  const { origin } = settings;
  const ledger = await openLedger({ path: paths.ledger, keys: { origin, log: keys.log, time: keys.time }, record: keys.record, clock: systemClock, faults, admit: settings.environments.map(({ name }) => spkiOf(keys.admit(name).publicKey).toString('base64')) });
  const store = fileStore(join(paths.registry, 'content'), faults);
  const repositories = fileRepositories(join(paths.registry, 'repositories'), store, faults);
  const registry = embeddedRegistry({ repositories, store, unpacked: paths.unpacked });
  let republish = async (): Promise<void> => {};
  const genesis = trustBody(JSON.parse(await readFile(paths.trust, 'utf8')));
  const next = { find: () => findNextLogKey(paths.keys), make: () => makeNextLogKey(paths.keys), adopt: (key: Signer) => adoptNextLogKey(paths.keys, key) };
  const logTrust = await LogTrust.open({
    ledger, genesis, next, faults,
    changed: async ({ rotations }) => {
      // Beside the genesis, for commands outside of a repository; the log has it too.
      if (rotations.length > 0) await writeFileDurable(paths.rotations, `${JSON.stringify(rotations, null, 2)}\n`);
      await republish();
    },
  });
  const log = () => logTrust.verifier();
  const trusted = () => digestOf(canonicalJson({ origin, keys: [log().log, log().time].map((key) => spkiOf(key).toString('base64')) }));
  const runner = runnerClient(paths.socket);
  const secrets = fileSecrets(paths.secrets, await loadSealer(paths.keys));
  const witnessing = await startWitnessing({
    witnesses: async () => (await ledger.policy()).witnesses ?? [], log: ledger, logKeys: () => logNoteKeys(log()), folder: paths.witnessed, report: (error) => report('witness', error),
  });
  ledger.onCheckpoint(() => witnessing.nudge());
  const believed = believedRoots(paths);
  const foreign = collector({ ledger, repositories, store, record: keys.record, log, roots: believed.load, clock: systemClock, folder: join(paths.registry, 'seen') });
  const moves = delivery({
    foreign: foreign.reader, collect: foreign.collect,
    ledger, witnesses: witnessing, registry, gateway: gatewayOf(runner), secrets, signers: keys, report: (error) => report('delivery', error), verify: (bundle, key) => verifyBundle(bundle, { log: log(), keys: [key] }), trust: () => digestOf(canonicalJson([trusted(), believed.digest()])),
    origin, version, platform: platform(), clock: systemClock, faults,
  });
  const environments = settings.environments.map(({ name, port }) => ({ name, url: `http://${settings.host}:${port}` }));
  await reattach(ledger, registry, join(paths.root, 'attached'));
  const look = () => runner.state();
  const collect = (dryRun: boolean) => collectGarbage({ ledger, registry, repositories, store, runner: look, folders: paths, clock: systemClock }, dryRun);
  const sigstore = (url: string) => ({ trustedRoot: json(trustedRoot(log(), settings.since)), signingConfig: json(signingConfig(url, settings.since)) });
  const token = await readToken(paths);
  const server = await startServer({ ledger, logTrust, witnessing, published: async () => witnessing.decorate((await ledger.checkpoint())?.note ?? ''), delivery: moves, registry, secrets, collector: foreign, reader: await openReader(paths.ledger), runner: look, metrics: () => runner.metrics(), collectGarbage: collect, token, info: { version, origin, environments }, repositories, store, host: settings.host, port: settings.port, clock: systemClock, sigstore });
  republish = () => writeSigstoreFiles(paths, sigstore(server.url));
  await republish();

  witnessing.nudge();
  // What was signed here while we were away comes in as it is; who signed it needs not come back for it.
  void sendWaiting(paths, ({ application, envelope, key }) => apiClient(server.url, token).addStatement(application, { envelope, key })).then(({ refused }) => refused.forEach(({ error }) => report('outbox', error)), (error: unknown) => report('outbox', error));

  const recovering = recover(moves.recover);
  const watch = setInterval(() => void moves.preflight().catch((thrown: unknown) => report('preflight', thrown)), 10_000);
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    clearInterval(watch);
    await server.close();
    await recovering;
    await runner.close();
    await witnessing.close();
    await ledger.close();
    process.exit(0);
  };
  // Ctrl-C reaches us and the runner, which then tells us to stop in its turn: once is enough, and it waits for us.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => void stop());
  // The runner holds the other end: when it is gone, so are we, and nothing is left behind.
  process.stdin.resume().once('end', () => void stop());
  process.stdout.write(`ready ${server.url}\n`);
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Ends what a crash cut off. The runner may be starting too: it is asked until it answers. */
async function recover(work: () => Promise<void>): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      return await work();
    } catch (thrown) {
      const error = asCairnError(thrown);
      if (!error.retryable) return report('recovery', error);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

function report(what: string, thrown: unknown): void {
  const error = asCairnError(thrown);
  if (!error.retryable) process.stderr.write(`${what} ${error.code}: ${error.message}\n`);
}

/** Statements whose referrer a crash kept from being written get it now. The cursor only saves work: doing it twice is no harm. */
async function reattach(ledger: OpenLedger, registry: Registry, cursor: string): Promise<void> {
  const from = Number(await readFile(cursor, 'utf8').catch(() => '0'));
  let next = from;
  for (;;) {
    const statements = await ledger.since(next, 256);
    for (const one of statements) {
      const application = one.statement.subject[0]?.name;
      const { predicateType, predicate } = one.statement;
      const passed = predicateType === predicateTypes.verdict && (predicate as { verificationResult: string }).verificationResult === 'PASSED';
      const attachable = passed || attached.has(predicateType);
      if (attachable && application !== undefined) await registry.attach(application, one);
      next = one.logIndex + 1;
    }
    if (statements.length < 256) break;
  }
  if (next !== from) await writeFileDurable(cursor, String(next));
}

/** Statements that are attached to what they speak of, beside passed verdicts. An SBOM's subjects are components: it is found by the release's other statements. */
const attached: ReadonlySet<string> = new Set([predicateTypes.provenance, predicateTypes.tests, predicateTypes.notes, predicateTypes.approval, predicateTypes.scan, predicateTypes.findings]);

/** The release room's Gateway over the runner's protocol, which takes exactly its own fields. */
function gatewayOf(runner: RunnerClient): Gateway {
  return {
    prepare: ({ operation, application, environment, content, release, launch, tasks }) => runner.prepare({ operation, application, environment, content, release, launch: launchFor(launch), tasks }),
    probe: ({ application, environment, content }) => runner.probe({ application, environment, content }),
    schema: ({ application, environment, content, release, launch }) => runner.schema({ application, environment, content, release, launch: launchFor(launch) }),
    switch: ({ operation, application, environment, content, release, revision, expected, restores, reason, by, share, watchMs }) =>
      runner.switch({ operation, application, environment, content, release, revision, expected, restores, reason, by, share, watchMs }),
    watch: ({ operation, application, environment }) => runner.watch({ operation, application, environment }),
    traffic: async ({ operation, application, environment, content, share }) => {
      await runner.traffic({ operation, application, environment, content, share });
    },
    live: async ({ application, environment }) => {
      const { timelines } = await runner.state();
      return timelines.find((one) => one.application === application && one.environment === environment)?.live ?? null;
    },
    plan: async ({ application, environment, mayRollBack, ways }) => {
      await runner.plan({ application, environment, mayRollBack: [...mayRollBack], ways: [...ways] });
    },
    retire: async ({ application, environment, content }) => {
      await runner.retire({ application, environment, content });
    },
    switches: async (after) => {
      const switches = [];
      for (let next = after; ; ) {
        const { entries } = await runner.journal(next);
        switches.push(...entries.filter((entry) => entry.kind === 'switched'));
        const last = entries.at(-1);
        if (last === undefined) return switches;
        next = last.sequence;
      }
    },
  };
}

/** The same shape, as what goes over the wire: nothing of it is read-only there. */
function launchFor(launch: Launch): WireLaunch {
  return {
    components: launch.components.map((one) => ({ ...one, command: [...one.command], routes: [...one.routes], data: [...one.data] })),
    schema: launch.schema === null ? null : { ...launch.schema, command: launch.schema.command === null ? null : [...launch.schema.command] },
  };
}

await main().catch((thrown: unknown) => {
  const error = asCairnError(thrown);
  process.stderr.write(`error ${error.code}: ${error.message}\n${error.fix === undefined ? '' : `  fix: ${error.fix}\n`}`);
  process.exit(1);
});
