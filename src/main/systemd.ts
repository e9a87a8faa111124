import { join } from 'node:path';
import { CairnError } from '#core';

export interface UnitOptions {
  /** Absolute paths. */
  readonly node: string;
  readonly cairn: string;
  readonly home: string;
  /** Null: root, and each application a user of its own. */
  readonly user: string | null;
}

/**
 * A unit for this Cairn and this home. It is closed to what neither runner nor applications need: they can't write outside of the
 * home, load kernel modules or gain privileges. Left open on purpose: groups of the kernel, for the applications' limits, and memory
 * that is written and then run, which is how JavaScript becomes fast.
 * @throws CairnError `invalid-configuration` for a path that no unit can hold
 */
export function systemdUnit({ node, cairn, home, user }: UnitOptions): string {
  // What it takes to give applications their users, folders and limits, and to end what a killed runner left.
  const capabilities = 'CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_PTRACE CAP_SYS_RESOURCE';
  return `# Cairn: the runner, which serves, and the control server beside it. To install it, as root:
#   cairn up --systemd > /etc/systemd/system/cairn.service
#   systemctl daemon-reload && systemctl enable --now cairn
# What it does:  journalctl -u cairn -f      What runs:  CAIRN_HOME=${oneLine(home)} cairn status
[Unit]
Description=Cairn
After=network-online.target local-fs.target
Wants=network-online.target
# However often it ends, it is started again.
StartLimitIntervalSec=0
RequiresMountsFor=${path(home)}

[Service]
Type=exec
${user === null ? '' : `User=${user}\n`}Environment=${quoted(`CAIRN_HOME=${home}`)}
Environment=XDG_CACHE_HOME=/var/cache/cairn
CacheDirectory=cairn
CacheDirectoryMode=0700
ExecStart=${command(node)} ${command(cairn)} up
Restart=always
RestartSec=1
# The runner alone is told to stop: it drains, and then stops the control server and the applications itself.
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec=60
# An application that takes too much memory must not take the runner with it.
OOMPolicy=continue
LimitNOFILE=1048576
TasksMax=infinity

UMask=0022
ProtectSystem=strict
ReadWritePaths=${path(home)}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
NoNewPrivileges=yes
SystemCallArchitectures=native
${user === null ? `CapabilityBoundingSet=${capabilities}\n` : 'CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n'}
[Install]
WantedBy=multi-user.target`;
}

/** This program, as it was installed. */
export const cairnPath = join(import.meta.dirname, '../../bin/cairn.js');

function oneLine(text: string): string {
  // A line of its own would be a setting of its own.
  if (!/\p{Cc}/u.test(text)) return text;
  throw new CairnError('invalid-configuration', 'a path with control characters can stand in no unit', { fix: 'Choose another CAIRN_HOME' });
}

/** systemd.syntax(7): quotes, backslashes, and % for its own specifiers. */
function quoted(text: string): string {
  return `"${oneLine(text).replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`;
}

/** systemd.service(5): in a command line $ is a variable. */
function command(text: string): string {
  return quoted(text).replaceAll('$', '$$$$');
}

function path(text: string): string {
  return /[\s"'\\]/.test(text) ? quoted(text) : oneLine(text).replaceAll('%', '%%');
}
