import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { CairnError } from '#core';
import { createHome, homePaths, type Home } from '#home';
import { startRunner } from '#runner';
import { readCertificates, renewCertificates } from './certificates.ts';
import { runnerOptions } from './runner-options.ts';

const run = promisify(execFile);

async function home(t: TestContext): Promise<Home | undefined> {
  if (!(await run('openssl', ['version']).then(() => true, () => false))) return undefined;
  const root = await mkdtemp(join(tmpdir(), 'cairn-tls-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  await createHome(join(root, 'home'), { host: '127.0.0.1', port: 0, environments: [{ name: 'production', port: 0, tls: { cert: 'tls.crt', key: 'tls.key' } }], since: '2026-01-01T00:00:00.000Z' });
  const paths = homePaths(join(root, 'home'));
  for (const name of ['first', 'second']) {
    const files = ['-keyout', join(paths.root, `${name}.key`), '-out', join(paths.root, `${name}.crt`)];
    await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`, ...files]);
  }
  const { settings } = await createHome(paths.root, { host: '', port: 0, environments: [], since: '' });
  return { paths, settings };
}

async function use({ paths }: Home, name: string): Promise<void> {
  for (const end of ['key', 'crt']) await copyFile(join(paths.root, `${name}.${end}`), join(paths.root, `tls.${end}`));
}

/** The name that the server's certificate bears. */
function nameAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false }, (response) => {
      resolve(String((response.socket as TLSSocket).getPeerCertificate().subject.CN));
      response.resume();
    });
    sent.on('error', reject).end();
  });
}

test('an environment with certificates is served over TLS, and renewed ones are taken without a restart', async (t) => {
  const there = await home(t);
  if (there === undefined) return t.skip('openssl is not installed');
  await use(there, 'first');
  const runner = await startRunner(await runnerOptions(there));
  const reported: CairnError[] = [];
  const end = renewCertificates(there, runner, (error) => reported.push(error), 50);
  try {
    const port = Number(runner.ports.get('production'));
    assert.equal(await nameAt(port), 'first');
    await sleep(100);
    // Of two pairs: as it is while somebody else is in the middle of writing them.
    await copyFile(join(there.paths.root, 'second.crt'), join(there.paths.root, 'tls.crt'));
    for (let tries = 0; tries < 100 && reported.length === 0; tries++) await sleep(20);
    assert.equal(reported[0]?.code, 'invalid-configuration');
    assert.equal(await nameAt(port), 'first');
    await use(there, 'second');
    let name = '';
    for (let tries = 0; tries < 100 && name !== 'second'; tries++) {
      await sleep(20);
      name = await nameAt(port);
    }
    assert.equal(name, 'second');
  } finally {
    end();
    await runner.close();
  }
});

test('certificates that are not there are named before anything starts', async (t) => {
  const there = await home(t);
  if (there === undefined) return t.skip('openssl is not installed');
  await assert.rejects(readCertificates(there), { code: 'invalid-configuration', message: /certificate of production, tls.crt/ });
  await writeFile(join(there.paths.root, 'tls.crt'), 'nothing');
  await assert.rejects(runnerOptions(there), { code: 'invalid-configuration', message: /key of production, tls.key/ });
});
