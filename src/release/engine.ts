import { predicateTypes, subjectOf } from '#attest';
import { asCairnError, CairnError, Mutex, shortDigest, type Clock, type Digest, type Faults } from '#core';
import { policyDigest, type Decision, type Evidence, type Policy } from '#policy';
import { authorityOf, type Authority } from './authority.ts';
import { contentHash, type Content } from './content.ts';
import { Decisions } from './decisions.ts';
import type { ReleaseDocument } from './document.ts';
import { partsOf } from './facts.ts';
import type { ForeignReader } from './foreign.ts';
import { launchOf } from './launch.ts';
import type { Verifier } from './proven.ts';
import type { Gateway, Launch, Ledger, Registry, Revision, Secrets, SignedStatement, Timeline, Witnesses } from './ports.ts';
import { sign, verdictStatement, type Asked, type ServerSigners } from './statements.ts';

export interface DeliveryOptions {
  readonly ledger: Ledger;
  readonly registry: Registry;
  readonly gateway: Gateway;
  readonly secrets: Secrets;
  /** Absent: nobody is asked, and a rule that wants them fails. */
  readonly witnesses?: Witnesses;
  readonly signers: ServerSigners;
  readonly verify: Verifier;
  /** Digest of what `verify` believes: where it changes, nothing that was proven before counts. */
  readonly trust: () => Digest;
  /** Verifies what other tools signed, against the keys and identities of the policy. */
  readonly foreign: (policy: Policy) => Promise<ForeignReader>;
  /** Takes in what others attached to these digests since it was last asked; answers how much it had no time to look at. */
  readonly collect: (application: string, parts: ReadonlySet<Digest>) => Promise<{ readonly remaining: number }>;
  readonly origin: string;
  readonly version: string;
  /** `linux/amd64`: which of a component's manifests runs here. */
  readonly platform: string;
  readonly clock: Clock;
  readonly faults: Faults;
  /** What happened outside of any call, such as a promotion that reverted by itself. */
  readonly report: (error: CairnError) => void;
}

export interface Spot {
  readonly application: string;
  readonly environment: string;
}

export type Direction = 'promote' | 'rollback';
export type SchemaFact = Evidence['schema'];

/** What every move of a release stands on. */
export class Engine {
  readonly options: DeliveryOptions;
  readonly decisions: Decisions;
  readonly #locks = new Map<string, Mutex>();

  constructor(options: DeliveryOptions) {
    this.options = options;
    this.decisions = new Decisions(options);
  }

  /** One change of a timeline at a time. */
  lock({ application, environment }: Spot): Mutex {
    const name = `${environment}/${application}`;
    const known = this.#locks.get(name) ?? new Mutex();
    this.#locks.set(name, known);
    return known;
  }

  document = (application: string, release: Digest): Promise<ReleaseDocument> => this.options.registry.document(application, release);

  launch(document: ReleaseDocument, content: Content, environment: string): Promise<Launch> {
    return launchOf(document, content, environment, this.options);
  }

  /** A decision that something is done by: its evidence is read from the ledger now, and it is signed. */
  async judge(asked: Asked & { by: string }, timeline: Timeline, document: ReleaseDocument, direction: Direction, schema: SchemaFact, sources: Evidence['sources'] = []): Promise<{ decision: Decision; policy: Digest; size: number; verdict: SignedStatement }> {
    const { origin, version, signers } = this.options;
    const { decision, evidence, policy, time, size } = await this.decisions.decide({ ...asked, timeline, document, direction, schema, sources }, { fresh: true });
    return { decision, policy: policyDigest(policy), size, verdict: verdictStatement({ asked, direction, decision, evidence, policy, document, origin, version, time, signers }) };
  }

  /** What the gate would say, for those who only look: nothing is signed, and what was read at this size of the log is not read again. */
  async weigh(asked: Pick<Asked, 'release' | 'content' | 'environment'> & { by: string }, timeline: Timeline, document: ReleaseDocument, direction: Direction, schema: SchemaFact): Promise<Decision> {
    return (await this.decisions.decide({ ...asked, timeline, document, direction, schema })).decision;
  }

  /** Never stops a decision: what could not be looked at is missing from it, and the decision says so. */
  async collect(application: string, release: Digest, document: ReleaseDocument): Promise<Evidence['sources']> {
    try {
      const { remaining } = await this.options.collect(application, partsOf(release, document));
      return remaining === 0 ? [] : [{ name: 'registry', state: 'unreachable', detail: `${remaining} attached statements are not looked at yet: cairn attest ${shortDigest(release)} --collect` }];
    } catch (thrown) {
      const error = asCairnError(thrown);
      this.options.report(error);
      return [{ name: 'registry', state: error.code === 'throttled' ? 'throttled' : 'unreachable', detail: error.message.slice(0, 1000) }];
    }
  }

  /** What the data says; null where the release declares nothing. Runs the release's own command: only for what the gate let in. */
  async schemaOf(spot: Spot, document: ReleaseDocument, content: Content): Promise<SchemaFact> {
    if (document.schema === null) return null;
    const { minimum, maximum } = document.schema;
    const launch = await this.launch(document, content, spot.environment);
    if (launch.schema === null) return null;
    const { version } = await this.options.gateway.schema({ ...spot, content: contentHash(content), release: content.release, launch });
    return { version, minimum, maximum };
  }

  /** Who may write now. */
  authority(): Promise<Authority> {
    return authorityOf(this.options.ledger, this.options.clock.now());
  }

  async revisionOf(operation: string): Promise<Revision> {
    const revision = await this.options.ledger.revisionOf(operation);
    if (revision === undefined) throw new CairnError('storage', 'the index lost a revision', { fix: 'cairn ledger rebuild' });
    return revision;
  }

  /** Runs what reads bytes and proofs; a discrepancy is an incident: logged, and nothing goes on. */
  async guarded<T>(asked: Pick<Asked, 'operation' | 'application' | 'environment' | 'release'>, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof CairnError) || !discrepancies.has(error.code)) throw error;
      await this.openIncident(asked, error);
      throw new CairnError('incident', `${error.message} (${error.code}); an incident was opened and nothing was changed`, {
        fix: error.fix ?? 'cairn audit tells what else is damaged; release the commit again on a machine that you trust, or restore the blob from a backup',
        context: { ...error.context, discrepancy: error.code },
        cause: error,
      });
    }
  }

  async openIncident({ operation, application, environment, release }: Pick<Asked, 'operation' | 'application' | 'environment' | 'release'>, error: CairnError): Promise<void> {
    const predicate = { operation, application, environment, code: error.code, what: error.message.slice(0, 2000) };
    await this.options.ledger.commit([sign({ predicateType: predicateTypes.incident, subject: [subjectOf(application, release)], predicate }, this.options.signers.record)]);
  }
}

/** Bytes, signatures or proofs that are not what the log says. */
const discrepancies: ReadonlySet<string> = new Set(['digest-mismatch', 'malformed-document', 'verification-failed']);

