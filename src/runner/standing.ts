import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError } from '#core';
import type { Backend } from '#gateway';
import { CronJob } from './crons.ts';
import type { Launcher } from './launcher.ts';
import type { StoredLaunch } from './launches.ts';
import type { LaunchComponent } from './protocol.ts';
import { Replicas } from './replicas.ts';
import { addressesOf, addressText, type Address, type Routable } from './routes.ts';

export interface StandingOptions {
  readonly launcher: Launcher;
  /** Called whenever an instance came up or went, unless we stop. */
  readonly changed: (standing: Standing) => void;
  readonly report: (error: CairnError) => void;
  /** A run of a cron ended. */
  readonly ran: (standing: Standing, component: string, ok: boolean) => void;
}

const defaultDeadlineMs = 30_000;

/**
 * A content that is kept running in one timeline, live or ready to be. Its web instances, and workers of which two revisions may
 * run at once, always run; other workers and crons only from `activate` to `deactivate`, which is for `Handovers` alone to call.
 */
export class Standing implements Routable {
  readonly stored: StoredLaunch;
  readonly addresses: readonly Address[];
  readonly #options: StandingOptions;
  readonly #components: ReadonlyMap<string, LaunchComponent>;
  /** By the text of the address. */
  readonly #componentAt: ReadonlyMap<string, string>;
  readonly #always: readonly Replicas[];
  #active: { readonly workers: readonly Replicas[]; readonly crons: readonly CronJob[] } | undefined;
  #deactivating: Promise<void> | undefined;
  /** It came up once, or is known to have. */
  #stands = false;
  #stopped = false;

  constructor(stored: StoredLaunch, options: StandingOptions) {
    this.stored = stored;
    this.#options = options;
    const { components } = stored.launch;
    this.#components = new Map(components.map((component) => [component.name, component]));
    const addresses = addressesOf(stored.launch);
    this.addresses = addresses.map(({ address }) => address);
    this.#componentAt = new Map(addresses.map(({ component, address }) => [addressText(address), component]));
    this.#always = components.filter(({ kind, overlap }) => kind === 'web' || (kind === 'worker' && overlap)).map((component) => this.#replicas(component));
  }

  /** What runs of it now. */
  get parts(): readonly Replicas[] {
    return [...this.#always, ...(this.#active?.workers ?? [])];
  }

  get healthy(): number {
    return this.parts.reduce((sum, { healthy }) => sum + healthy, 0);
  }

  /** It could be switched to now: every web component has an instance. */
  get ready(): boolean {
    return this.#stands && !this.#stopped && this.#always.every(({ component, healthy }) => component.kind !== 'web' || healthy > 0);
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get active(): boolean {
    return this.#active !== undefined;
  }

  backendAt(address: Address): Backend | undefined {
    const name = this.#componentAt.get(addressText(address));
    const component = name === undefined ? undefined : this.#components.get(name);
    if (component === undefined || this.#stopped) return undefined;
    const { application, content, release } = this.stored;
    const of = { application, component: component.name, content, release };
    if (component.kind === 'files') return { ...of, origins: [], directory: join(component.directory, 'app') };
    const replicas = this.#always.find((one) => one.component === component);
    return { ...of, origins: replicas?.up.flatMap(({ instance: { origin } }) => (origin === null ? [] : [origin])) ?? [], directory: null };
  }

  /** All instances healthy, or none left. @throws CairnError `unhealthy`, `digest-mismatch` */
  async prepare(): Promise<void> {
    const results = await Promise.allSettled(this.#always.map((replicas) => replicas.prepare()));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    this.#stands = true;
  }

  /** As prepare, but what fails is tried again for as long as it takes, since it is known to have run. Resolves after the first try. */
  async restore(): Promise<void> {
    this.#stands = true;
    await Promise.all(this.#always.map((replicas) => replicas.restore()));
  }

  /** Waits while instances are down and being started again. @throws CairnError `unhealthy` with the last failure */
  async becomesReady(): Promise<void> {
    const { clock } = this.#options.launcher;
    const deadlineMs = Math.max(...this.#always.map(({ component }) => component.health?.deadlineMs ?? defaultDeadlineMs), 0);
    for (const start = clock.elapsed(); !this.ready && !this.#stopped; await sleep(20)) {
      if (clock.elapsed() - start > deadlineMs) break;
    }
    if (this.ready) return;
    throw this.#always.map(({ failure }) => failure).find((one) => one !== undefined) ?? new CairnError('unhealthy', 'no instance of the content is running');
  }

  /** Everything that should run answers its health check, now. Workers count once their first start was tried. */
  async probe(): Promise<boolean> {
    if (!this.ready) return false;
    const answers = await Promise.all(this.parts.filter(({ tried }) => tried).map((replicas) => replicas.probe()));
    return answers.every(Boolean);
  }

  /** Starts workers and crons; what fails is tried again, since it is live. */
  activate(): void {
    if (this.#active !== undefined || this.#stopped) return;
    const { launcher, report, ran } = this.#options;
    const components = [...this.#components.values()];
    const workers = components.filter(({ kind, overlap }) => kind === 'worker' && !overlap).map((component) => this.#replicas(component));
    const crons = components
      .filter(({ kind }) => kind === 'cron')
      .map((component) => new CronJob(this.stored, component, { launcher, report, ran: (ok) => ran(this, component.name, ok) }));
    this.#active = { workers, crons };
    for (const worker of workers) void worker.restore();
  }

  /** Resolves when no worker and no run of a cron is left. */
  async deactivate(deadlineMs: number): Promise<void> {
    const active = this.#active;
    if (active === undefined) return;
    this.#deactivating ??= Promise.all([...active.workers, ...active.crons].map((one) => one.stop(deadlineMs))).then(() => {
      this.#active = undefined;
      this.#deactivating = undefined;
    });
    await this.#deactivating;
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    await Promise.all([this.deactivate(deadlineMs), ...this.#always.map((replicas) => replicas.stop(deadlineMs))]);
  }

  #replicas(component: LaunchComponent): Replicas {
    const { launcher, report, changed } = this.#options;
    return new Replicas(this.stored, component, { launcher, clock: launcher.clock, report, changed: () => changed(this) });
  }
}
