import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeStatement, predicateTypes, signEnvelope, subjectOf, type Request } from '#attest';
import type { Definition } from '#build';
import { CairnError, isDigest, type Digest } from '#core';
import { loadPerson, openHome, readToken, sendWaiting, type Home, type Sent } from '#home';
import type { SignedStatement } from '#release';
import { apiClient, type ApiClient } from '#server';
import { spkiOf, type Signer } from '#sign';
import type { System } from './context.ts';

/** A command's footing: this machine's home and the control server. */
export interface Session {
  readonly home: Home;
  readonly api: ApiClient;
  readonly url: string;
}

/** @param send whether what waits for the log is sent on the way; a rollback waits for nothing */
export async function openSession(system: System, { send = true }: { readonly send?: boolean } = {}): Promise<Session> {
  const home = await openHome(system.home);
  const url = `http://${home.settings.host}:${home.settings.port}`;
  const session = { home, url, api: apiClient(url, await readToken(home.paths)) };
  if (send) await flush(system, session);
  return session;
}

/** Sends what waits in this home (see home/outbox.ts). What the log refuses is told, and kept. */
export async function flush(system: System, { home, api }: Session): Promise<Sent> {
  const sent = await sendWaiting(home.paths, ({ application, envelope, key }) => api.addStatement(application, { envelope, key }));
  for (const { name, error } of sent.refused) system.err(`a queued statement was refused, and is kept as outbox/${name}.refused: ${error.message}`);
  return sent;
}

export async function readDefinition(system: System): Promise<Definition> {
  const text = await readFile(join(system.directory, 'cairn.yaml'), 'utf8').catch((cause: unknown) => {
    throw new CairnError('not-initialized', 'there is no cairn.yaml here', { cause, fix: 'cairn init' });
  });
  // What reads a definition is more than most commands that need one word of it.
  const { parseDefinition } = await import('#build');
  return parseDefinition(text);
}

export function personName(system: System): string {
  const name = (system.environment['CAIRN_USER'] ?? system.environment['USER'] ?? 'operator').toLowerCase().replaceAll(/[^a-z0-9-]/g, '-');
  return /^[a-z0-9]/.test(name) ? name.slice(0, 63) : 'operator';
}

/** From the environment or the terminal; never from an argument, which other users of the machine can read. */
export async function passphrase(system: System, question: string): Promise<string> {
  const given = system.environment['CAIRN_PASSPHRASE'] ?? (await system.askSecret(question));
  if (given !== undefined && given !== '') return given;
  throw new CairnError('passphrase-needed', 'a passphrase is needed and there is no terminal to ask on', { fix: 'Set CAIRN_PASSPHRASE' });
}

export async function ownSigner(system: System, home: Home): Promise<Signer> {
  const name = personName(system);
  return loadPerson(home.paths.people, name, await passphrase(system, `Passphrase of ${name}: `));
}

/** A release by `name@sha256:...`, `sha256:...` or the first digits of its digest, at least four. */
export async function resolveRelease(api: ApiClient, application: string, reference: string): Promise<Digest> {
  const text = reference.replace(/^[^@]*@/, '');
  if (isDigest(text)) return text;
  const prefix = text.replace(/^sha256:/, '');
  if (!/^[0-9a-f]{4,64}$/.test(prefix)) throw new CairnError('unknown-reference', `"${reference}" is no digest`, { fix: 'Give at least four hex digits of a release digest; tags are never deployed' });
  const [found, another] = await api.findRelease(application, prefix);
  if (found === undefined) throw new CairnError('unknown-reference', `no release of ${application} begins with ${prefix}`, { fix: 'cairn release, or cairn status' });
  if (another !== undefined) throw new CairnError('ambiguous-reference', `several releases of ${application} begin with ${prefix}`, { fix: 'Give more digits' });
  return found;
}

export function signRequest(signer: Signer, release: Digest, request: Request): SignedStatement {
  const statement = { predicateType: predicateTypes.request, subject: [subjectOf(request.application, release)], predicate: request };
  return { envelope: signEnvelope(makeStatement(statement), signer), key: spkiOf(signer.publicKey).toString('base64') };
}

/**
 * Calls until the server answers: it may be restarting. The request is the same signed text each time, so that the server does
 * it once.
 */
export async function persist<T>(system: System, call: () => Promise<T>, limitMs = 20_000): Promise<T> {
  const start = system.clock.elapsed();
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof CairnError) || !error.retryable || system.clock.elapsed() - start > limitMs) throw error;
      await sleep(100);
    }
  }
}
