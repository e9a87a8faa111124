import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSocket, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CairnError } from '#core';

// What keyless signing needs of others, on loopback: an issuer of identity tokens in this process, Sigstore's own Fulcio with a
// certificate authority in memory, and its own timestamp authority.

export interface KeylessWorld {
  readonly fulcio: string;
  readonly timestamp: string;
  readonly issuer: string;
  /** A token as GitHub Actions gives it to a job of this workflow. */
  token(workflow: string, audience?: string): string;
  /** PEM, leaf first. */
  chains(): Promise<{ readonly fulcio: readonly string[]; readonly timestamp: readonly string[] }>;
  /** The authorities as a TrustedRoot names them; the logs are the caller's. */
  root(tlogs: readonly unknown[]): Promise<object>;
  close(): Promise<void>;
}

export async function keylessWorld(pathOf: (tool: string) => string): Promise<KeylessWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-keyless-'));
  const issuing = await issuer();
  const [http, grpc, metrics, stamps] = (await Promise.all(Array.from({ length: 4 }, freePort))) as [number, number, number, number];
  const config = join(folder, 'fulcio.json');
  await writeFile(config, JSON.stringify({ OIDCIssuers: { [issuing.url]: { IssuerURL: issuing.url, ClientID: 'sigstore', Type: 'github-workflow' } } }));
  const children = [
    start(pathOf('fulcio'), 'serve', '--ca', 'ephemeralca', '--ct-log-url', '', '--config-path', config, '--host', '127.0.0.1', '--port', String(http), '--grpc-host', '127.0.0.1', '--grpc-port', String(grpc), '--metrics-port', String(metrics), '--legacy-unix-domain-socket', `@cairn-${randomBytes(6).toString('hex')}`),
    start(pathOf('timestamp-server'), 'serve', '--host', '127.0.0.1', '--port', String(stamps), '--disable-ntp-monitoring', '--timestamp-signer', 'memory'),
  ];
  const [fulcio, authority] = [`http://127.0.0.1:${http}`, `http://127.0.0.1:${stamps}`];
  const close = async () => {
    for (const child of children) await end(child);
    await issuing.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all([up(`${fulcio}/healthz`, children), up(`${authority}/ping`, children)]);
  } catch (error) {
    await close();
    throw error;
  }
  const text = async (url: string) => (await fetch(url)).text();
  const chains = async () => {
    const { chains: [first] } = JSON.parse(await text(`${fulcio}/api/v2/trustBundle`)) as { chains: { certificates: string[] }[] };
    const timestamp = (await text(`${authority}/api/v1/timestamp/certchain`)).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    return { fulcio: first?.certificates ?? [], timestamp };
  };
  return {
    chains,
    fulcio,
    timestamp: `${authority}/api/v1/timestamp`,
    issuer: issuing.url,
    token: issuing.token,
    root: async (tlogs) => {
      const known = await chains();
      const ofChain = (pems: readonly string[]) => ({ certChain: { certificates: pems.map((pem) => ({ rawBytes: new X509Certificate(pem).raw.toString('base64') })) }, validFor: { start: '2020-01-01T00:00:00Z' } });
      return {
        mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
        tlogs,
        certificateAuthorities: [{ subject: { organization: 'test', commonName: 'fulcio' }, uri: fulcio, ...ofChain(known.fulcio) }],
        ctlogs: [],
        timestampAuthorities: [{ subject: { organization: 'test', commonName: 'tsa' }, uri: authority, ...ofChain(known.timestamp) }],
      };
    },
    close,
  };
}

async function issuer() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  let url = '';
  const server = createServer((request, response) => {
    const answers: Record<string, unknown> = {
      '/.well-known/openid-configuration': { issuer: url, jwks_uri: `${url}/keys`, authorization_endpoint: `${url}/auth`, token_endpoint: `${url}/token`, response_types_supported: ['id_token'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['RS256'] },
      '/keys': { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' }] },
    };
    const answer = answers[request.url ?? ''];
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer ?? {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return {
    url,
    token: (workflow: string, aud = 'sigstore') => {
      const [repository = ''] = workflow.split('/.github/');
      const iat = Math.floor(Date.now() / 1000);
      const said = {
        iss: url, aud, iat, nbf: iat, exp: iat + 600, sub: `repo:${repository}:ref:refs/heads/main`, job_workflow_ref: workflow, workflow_ref: workflow, sha: 'a'.repeat(40), job_workflow_sha: 'a'.repeat(40), workflow_sha: 'a'.repeat(40),
        event_name: 'push', repository, workflow: 'release', ref: 'refs/heads/main', repository_id: '1', repository_owner: repository.split('/')[0], repository_owner_id: '2', repository_visibility: 'public', run_id: '3', run_attempt: '1', runner_environment: 'github-hosted',
      };
      const text = `${part({ alg: 'RS256', kid: 'one', typ: 'JWT' })}.${part(said)}`;
      return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

interface Child extends ChildProcess { said?: string }

function start(tool: string, ...parameters: readonly string[]): Child {
  const child: Child = spawn(tool, parameters, { env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' }, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (child.said = ((child.said ?? '') + text).slice(-4000)));
  return child;
}

async function end(child: Child): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function up(url: string, children: readonly Child[]): Promise<void> {
  for (let tries = 0; tries < 150; tries += 1) {
    const ended = children.find((one) => one.exitCode !== null);
    if (ended !== undefined) throw new CairnError('internal', `a service ended: ${ended.said}`);
    if (await fetch(url).then((response) => response.ok, () => false)) return;
    await sleep(100);
  }
  throw new CairnError('internal', `${url} did not come up: ${children.map((one) => one.said).join('\n')}`);
}

async function freePort(): Promise<number> {
  const server = createSocket().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
