import { asCairnError, CairnError, shortDigest, type Clock } from '#core';
import type { Gateway } from '#gateway';
import type { Contents } from './contents.ts';
import { scheduleOf } from './crons.ts';
import type { History } from './history.ts';
import type { Journal } from './journal.ts';
import type { Launcher } from './launcher.ts';
import type { Launches, StoredLaunch } from './launches.ts';
import type { Moves } from './moves.ts';
import type { Places } from './places.ts';
import type * as protocol from './protocol.ts';
import type { Router } from './router.ts';
import { checkAddresses } from './routes.ts';
import type { Standing } from './standing.ts';
import type { ContentName } from './words.ts';

export interface PreparingOptions {
  readonly clock: Clock;
  readonly gateway: Gateway;
  readonly journal: Journal;
  readonly history: History;
  readonly launches: Launches;
  readonly contents: Contents;
  readonly launcher: Launcher;
  readonly places: Places;
  readonly moves: Moves;
  readonly router: Router;
  readonly drainMs: number;
  readonly report: (error: CairnError) => void;
}

const longestTaskMs = 3_600_000;
const longestSchemaMs = 30_000;

/** Brings contents up, and takes them down again. */
export class Preparing {
  readonly #options: PreparingOptions;

  constructor(options: PreparingOptions) {
    this.#options = options;
  }

  /** A content that runs is warm whatever the launch says: its digest stands for all that it is, so the first launch counts. */
  async prepare(request: protocol.PrepareRequest): Promise<protocol.PrepareAnswer> {
    const { clock, contents } = this.#options;
    const start = clock.elapsed();
    const running = contents.get(request);
    if (running?.ready === true && !this.#owesTasks(request)) return this.#answer(running, true, start);
    checkAddresses(request.launch);
    for (const component of request.launch.components) if (component.kind === 'cron') scheduleOf(component);
    return contents.exclusively(request, () => this.#prepare(request, start));
  }

  async #prepare(request: protocol.PrepareRequest, start: number): Promise<protocol.PrepareAnswer> {
    const { contents } = this.#options;
    const { application, environment, content, release, launch } = request;
    const stored = { application, environment, content, release, launch };
    const standing = contents.get(request);
    if (standing !== undefined) {
      const warm = standing.ready;
      await this.#runTasks(request, standing.stored);
      await standing.becomesReady();
      return this.#answer(standing, warm, start);
    }
    contents.checkClaims(request, launch);
    return this.#prepareCold(request, stored, contents.add(stored), start);
  }

  async #prepareCold(request: protocol.PrepareRequest, stored: StoredLaunch, standing: Standing, start: number): Promise<protocol.PrepareAnswer> {
    const { clock, journal, history, launches, contents } = this.#options;
    const { operation, application, environment, content, release } = request;
    try {
      await launches.keep(stored);
      await this.#runTasks(request, stored);
      await standing.prepare();
      const { healthy, milliseconds } = this.#answer(standing, false, start);
      history.apply(await journal.append({ kind: 'prepared', operation, application, environment, content, release, healthy, milliseconds, at: clock.now().toISOString() }));
      return { warm: false, healthy, milliseconds };
    } catch (error) {
      contents.remove(stored);
      await standing.stop(0);
      // The one that is live must come back after a restart, even if it can't be started now.
      if (!this.#isServing(stored)) await launches.remove(stored);
      throw error;
    }
  }

  #owesTasks(request: protocol.PrepareRequest): boolean {
    const { application, environment, content, launch, tasks = false } = request;
    return tasks && launch.components.some(({ kind }) => kind === 'task') && this.#options.history.timeline({ application, environment })?.ran.has(content) !== true;
  }

  /** Once a content, in order of name, while what is live serves on. A crash before the line that says so runs them again. */
  async #runTasks(request: protocol.PrepareRequest, stored: StoredLaunch): Promise<void> {
    if (!this.#owesTasks(request)) return;
    const { clock, journal, history, launcher } = this.#options;
    const tasks = stored.launch.components.filter(({ kind }) => kind === 'task').toSorted((a, b) => (a.name < b.name ? -1 : 1));
    for (const task of tasks) {
      const { name, command, timeoutMs } = task;
      const { code, signal, how, lines } = await launcher.once(stored, task, { command, timeoutMs: timeoutMs ?? longestTaskMs }, this.#reported);
      if (code === 0) continue;
      throw new CairnError('task-failed', `the task ${name} of ${stored.application} ${how} in ${stored.environment}; nothing was switched`, {
        fix: 'See its last lines, mend it and release again; tasks that had ended before it are not undone',
        context: { component: name, exit: { code, signal }, lines },
      });
    }
    const { operation, application, environment, content } = request;
    history.apply(await journal.append({ kind: 'ran', operation, application, environment, content, at: clock.now().toISOString() }));
  }

  /** @throws CairnError `task-failed`, `invalid-configuration` */
  async schema(request: protocol.SchemaRequest): Promise<protocol.SchemaAnswer> {
    const { clock, launcher, places } = this.#options;
    const start = clock.elapsed();
    const { application, environment, content, release, launch } = request;
    const { schema } = launch;
    if (schema === null) return { version: null, milliseconds: this.#since(start) };
    if (schema.file !== null) {
      const folder = schema.file.split('/')[0] ?? '';
      if (!launch.components.some(({ data }) => data.includes(folder))) {
        throw new CairnError('invalid-configuration', `the schema's file ${schema.file} is in no data folder of the release`, { fix: 'Write it as NAME/PATH, with a name that a component declares under data' });
      }
      return { version: await places.versionIn(request, schema.file), milliseconds: this.#since(start) };
    }
    const component = launch.components.find(({ name }) => name === schema.component);
    if (component === undefined || schema.command === null) {
      throw new CairnError('invalid-configuration', `the release has no ${schema.component} that could say which schema its data has`, { fix: 'Name the component, and a command or a file, under schema in cairn.yaml' });
    }
    const stored = { application, environment, content, release, launch };
    const { code, signal, how, lines, stdout } = await launcher.once(stored, component, { command: schema.command, timeoutMs: longestSchemaMs }, this.#reported);
    const said = stdout.split('\n').map((line) => line.trim()).findLast((line) => line !== '') ?? 'null';
    if (code === 0 && said === 'null') return { version: null, milliseconds: this.#since(start) };
    if (code === 0 && /^-?\d{1,15}$/.test(said)) return { version: Number(said), milliseconds: this.#since(start) };
    throw new CairnError('task-failed', `the schema command of ${application} ${code === 0 ? 'printed no integer on its last line' : how}; nothing was changed`, {
      fix: 'Have it print one integer, or nothing where there is no data yet, and end with 0',
      context: { component: component.name, exit: { code, signal }, lines },
    });
  }

  async retire(request: protocol.RetireRequest): Promise<protocol.RetireAnswer> {
    const { clock, gateway, journal, history, launches, contents, moves, router, drainMs } = this.#options;
    const start = clock.elapsed();
    return contents.exclusively(request, async () => {
      const standing = await moves.exclusively(request, async () => {
        if (this.#isServing(request)) {
          throw new CairnError('conflict', `${shortDigest(request.content)} serves in ${request.environment} and can't be retired`, {
            fix: 'Promote or roll back to another content first',
          });
        }
        const known = history.timeline(request)?.prepared.has(request.content) === true;
        const found = contents.get(request);
        if (known) history.apply(await journal.append({ kind: 'retired', ...request, at: clock.now().toISOString() }));
        // From here no switch finds it any more; until here one could have made it live.
        contents.remove(request);
        router.route(request.environment);
        return known || found !== undefined ? { found } : undefined;
      });
      if (standing === undefined) return { retired: false, inFlight: 0, milliseconds: this.#since(start) };
      const { inFlight } = await gateway.drain(request.content, drainMs);
      await standing.found?.stop(drainMs);
      await launches.remove(request);
      return { retired: true, inFlight, milliseconds: this.#since(start) };
    });
  }

  #isServing({ content, ...timeline }: ContentName): boolean {
    const now = this.#options.history.timeline(timeline);
    return now?.live?.content === content || now?.former?.content === content;
  }

  #answer({ healthy }: Standing, warm: boolean, start: number): protocol.PrepareAnswer {
    return { warm, healthy, milliseconds: this.#since(start) };
  }

  #reported = (error: unknown): void => this.#options.report(asCairnError(error));

  #since(start: number): number {
    return this.#options.clock.elapsed() - start;
  }
}
