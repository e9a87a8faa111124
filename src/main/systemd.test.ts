import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { cairnPath, systemdUnit } from './systemd.ts';

const run = promisify(execFile);
const usual = { node: process.execPath, cairn: cairnPath, home: '/var/lib/cairn', user: null };

test('the unit starts this Cairn on this home, again whenever it ends, and lets it drain', () => {
  const unit = systemdUnit(usual);
  for (const line of [
    `ExecStart="${process.execPath}" "${cairnPath}" up`, 'Environment="CAIRN_HOME=/var/lib/cairn"', 'Restart=always', 'KillMode=mixed', 'TimeoutStopSec=60',
    'ProtectSystem=strict', 'ReadWritePaths=/var/lib/cairn', 'NoNewPrivileges=yes', 'WantedBy=multi-user.target',
  ]) assert.ok(unit.split('\n').includes(line), line);
  assert.match(unit, /^#   cairn up --systemd > \/etc\/systemd\/system\/cairn.service$/m);
  assert.doesNotMatch(unit, /^User=/m);
  assert.match(systemdUnit({ ...usual, user: 'ada' }), /^User=ada$/m);
});

test('a path is only ever a path: neither a setting, nor a variable, nor a specifier', () => {
  assert.throws(() => systemdUnit({ ...usual, home: '/home/x\nExecStartPre=/bin/sh' }), { code: 'invalid-configuration' });
  const unit = systemdUnit({ ...usual, cairn: '/opt/a "b" $HOME/100%/c\\d', home: '/srv/a b%h' });
  assert.ok(unit.includes(`"/opt/a \\"b\\" $$HOME/100%%/c\\\\d" up\n`));
  assert.ok(unit.includes('ReadWritePaths="/srv/a b%%h"\n'));
});

test('systemd understands every line of it', async (t) => {
  const there = await run('systemd-analyze', ['--version']).then(() => true, () => false);
  if (!there) return t.skip('systemd-analyze is not installed');
  const folder = await mkdtemp(join(tmpdir(), 'cairn-unit-'));
  t.after(() => rm(folder, { recursive: true }));
  for (const user of [null, 'root']) {
    const file = join(folder, 'cairn.service');
    await writeFile(file, systemdUnit({ ...usual, user, home: '/srv/cairn $1 100%' }));
    const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', file]);
    assert.equal(stdout + stderr, '');
  }
});
