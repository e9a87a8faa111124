// Every failure that a person can meet: a stable code, what happened, what mends it.

/** The exit code that each error ends a command with (docs/design/formats.md, "Exit codes"). */
export const errorCodes = {
  internal: 1,
  usage: 2,
  'invalid-digest': 2,
  'invalid-configuration': 2,
  'not-initialized': 2,
  'unknown-reference': 2,
  'ambiguous-reference': 2,
  'unknown-environment': 2,
  'not-a-repository': 2,
  'dirty-tree': 2,
  'lockfile-missing': 2,
  'wrong-passphrase': 2,
  'passphrase-needed': 2,
  'already-running': 2,
  'port-taken': 2,
  unreachable: 3,
  throttled: 3,
  unauthorized: 4,
  refused: 4,
  'verification-failed': 4,
  'digest-mismatch': 4,
  'malformed-document': 4,
  'invalid-policy': 4,
  'trust-changed': 4,
  'tag-immutable': 4,
  incident: 4,
  'backup-damaged': 4,
  'capsule-damaged': 4,
  reverted: 5,
  'not-found': 6,
  conflict: 6,
  'stage-failed': 6,
  'build-busy': 6,
  unhealthy: 6,
  'schema-mismatch': 6,
  'secret-missing': 6,
  'task-failed': 6,
  'nothing-to-return-to': 6,
  storage: 6,
  'storage-full': 6,
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface ErrorDetails {
  /** The command or edit that mends it. */
  readonly fix?: string;
  readonly context?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
  /** True where the same call may succeed later. */
  readonly retryable?: boolean;
}

/** The one error of Cairn. Credentials in URLs are redacted when it is made, so that no log ever holds them. */
export class CairnError extends Error {
  readonly code: ErrorCode;
  readonly fix: string | undefined;
  readonly context: Readonly<Record<string, unknown>>;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(redact(message), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'CairnError';
    this.code = code;
    this.fix = details.fix === undefined ? undefined : redact(details.fix);
    this.context = Object.freeze({ ...details.context });
    this.retryable = details.retryable ?? false;
  }
}

/** Wraps what was thrown: a CairnError stays as it is, a full disk is one, anything else is a crash (`internal`) and never reads as success. */
export function asCairnError(thrown: unknown): CairnError {
  if (thrown instanceof CairnError) return thrown;
  const { code } = thrown as { code?: unknown };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new CairnError('storage-full', `the disk is full: ${(thrown as Error).message}`, { cause: thrown, fix: 'Make room on the disk of CAIRN_HOME, then ask again' });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new CairnError('internal', message, {
    cause: thrown,
    fix: 'This is a defect in Cairn: please report it with the output of the same command and --json',
  });
}

export function exitCodeOf(error: CairnError): number {
  return errorCodes[error.code];
}

function redact(text: string): string {
  return text.replaceAll(/\/\/[^/\s@]+@/g, '//***@');
}
