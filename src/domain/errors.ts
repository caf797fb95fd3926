/**
 * The one table of errors. HTTP status, exit code and what a retry can do are read from here by the facade, the
 * command line and the workflows; the text of an error is made where it happens and is the same everywhere.
 */

/** What can help: nothing, a new attempt of the operation, or the same activity once more. */
export type Retry = 'never' | 'attempt' | 'activity';

interface Row {
  readonly http: number;
  readonly exit: number;
  readonly retry: Retry;
  /** What the operator does next. */
  readonly hint: string;
}

const row = (http: number, exit: number, retry: Retry, hint: string): Row => ({ http, exit, retry, hint });

export const errorTable = {
  Internal: row(500, 1, 'attempt', 'This is a defect of homarus; the log of the process has the stack.'),
  BadInput: row(400, 2, 'never', 'Correct the input and try again.'),
  ConfigInvalid: row(400, 2, 'never', 'Correct the configuration; "homarus config check" shows all faults at once.'),
  TemporalUnreachable: row(503, 3, 'never', 'Check the address of Temporal in the configuration and that it runs.'),
  Cancelled: row(
    409,
    4,
    'never',
    'The operation was cancelled and the cluster is unlocked; start it again when wanted.',
  ),
  NotConfirmed: row(400, 5, 'never', 'Answer "yes", or give --yes.'),
  NoRepository: row(404, 10, 'never', 'Run "homarus init", or correct the storage in the configuration.'),
  ForeignRepository: row(409, 10, 'never', 'Use another prefix or path; one repository belongs to one cluster.'),
  RepositoryExists: row(409, 10, 'never', 'Nothing was changed: the repository can be used as it is.'),
  RepositoryIncompatible: row(409, 10, 'never', 'Use a version of homarus that knows what the repository needs.'),
  RolledBack: row(409, 10, 'never', 'Somebody put an older state back. Find out who, before anything is written.'),
  StorageUnsuitable: row(400, 10, 'never', 'Use a storage that honours conditional writes.'),
  KeyMissing: row(400, 25, 'never', 'Name the key as "encryption" of the storage; docs/configuration.md says how.'),
  KeyWrong: row(403, 25, 'never', 'Correct "encryption" of the storage; nothing was read or written.'),
  LockHeld: row(409, 11, 'never', 'Wait for the holder, or cancel it; "homarus status" shows it.'),
  LockLost: row(409, 12, 'never', 'The cluster is unlocked and no backup was harmed; start the operation again.'),
  NodeUnavailable: row(
    503,
    13,
    'never',
    'Start the worker of the node with "homarus node --node ID"; a backup can go without it: --without-node ID.',
  ),
  NodeTaken: row(409, 13, 'never', 'Two machines claim one node id; stop one or correct its configuration.'),
  BackupNotFound: row(404, 14, 'never', '"homarus list" shows the backups that exist.'),
  BackupRemoved: row(410, 14, 'never', 'It was removed while it was read; choose another with "homarus list".'),
  ObjectMissing: row(500, 15, 'never', 'The storage lost an object; restore from another backup.'),
  ObjectDamaged: row(500, 15, 'never', 'The storage altered an object; restore from another backup.'),
  DamageFound: row(
    409,
    15,
    'never',
    'The next backup stores again what nodes still have; what it cannot heal is named.',
  ),
  StoreForbidden: row(502, 16, 'never', 'Grant the rights that examples/ lists for this role.'),
  StoreUnreachable: row(503, 17, 'activity', 'Check the storage and the network to it.'),
  StoreFull: row(507, 18, 'never', 'Make space in the storage; nothing that is listed was harmed.'),
  NoSpace: row(507, 18, 'never', 'Make space on the file system that the message names, then run it again.'),
  CommitInDoubt: row(503, 19, 'attempt', 'Look with "homarus list" once the storage answers again.'),
  FileChanged: row(409, 20, 'attempt', 'A file was changed in place while it was read; exclude it or use a plugin.'),
  FileUnreadable: row(500, 20, 'never', 'Mend the rights of the file, exclude it, or set onUnreadable: skip.'),
  FileUnwritable: row(500, 20, 'never', 'Mend the rights of what the message names, then run it again.'),
  UnsafePath: row(400, 20, 'never', 'The tree names a path outside of its root; nothing was written for it.'),
  DifferentFileSystem: row(400, 20, 'never', 'Hard links need one file system: move linkDir, or exclude the mount.'),
  NodesDoNotMatch: row(
    409,
    21,
    'never',
    'Say who takes whose files with --map BACKUP_NODE=NODE, or choose nodes with --node.',
  ),
  NodeFailed: row(500, 22, 'attempt', 'The log of the worker on that node has more.'),
  PluginFailed: row(
    500,
    26,
    'attempt',
    'The log of the worker that did it has more; docs/plugins.md has the contract.',
  ),
  PluginMismatch: row(409, 26, 'never', 'Give coordinators and nodes the same plugin and configuration; restart them.'),
  PluginTooOld: row(
    409,
    26,
    'never',
    'Use a version of the plugin that is not older than the one that made the backup.',
  ),
  EtcdUnreachable: row(
    503,
    27,
    'activity',
    'Check the endpoints of etcd in the configuration and the network to them.',
  ),
  EtcdRefused: row(502, 27, 'never', 'Check the user, its role and the limits of etcd, as the message says.'),
  EtcdCompacted: row(409, 27, 'attempt', 'Let etcd keep its history for longer than a backup takes.'),
  EtcdDiffers: row(
    409,
    27,
    'never',
    'Stop what writes to etcd and run the restore again; it goes on where it stopped.',
  ),
  M3Changed: row(409, 30, 'attempt', 'Back up when no node is being added, moved or removed.'),
  M3PlacementUnfit: row(
    409,
    30,
    'never',
    'Let plugin.options name the environment and one node for each instance; nothing was written.',
  ),
  M3Running: row(409, 30, 'never', 'Stop M3 on all nodes that take part and run the restore again.'),
  ScheduleNotFound: row(404, 24, 'never', '"homarus schedules list" shows the schedules that exist.'),
  BackupOverdue: row(
    503,
    28,
    'never',
    '"homarus schedules list" and the latest operations in Temporal say why; "homarus backup" makes one.',
  ),
  DrillFailed: row(
    409,
    15,
    'never',
    'The backup, or this node\'s disk, is not to be trusted: run "homarus verify --read-data".',
  ),
  NotWell: row(503, 32, 'never', 'What is marked as FAIL says what to mend.'),
  NotTold: row(502, 31, 'activity', 'Correct the notification in the configuration, or mend what it calls.'),
  WorkerRestarted: row(503, 23, 'activity', 'The worker was restarted; the activity goes on by itself.'),
  OperationNotFound: row(404, 24, 'never', 'Temporal forgets operations after its retention; "homarus list" does not.'),
  TokenMissing: row(401, 29, 'never', 'Send "Authorization: Bearer TOKEN"; "homarus token create" makes one.'),
  NotAllowed: row(403, 29, 'never', 'Ask who runs the facade for a token with the role that is needed.'),
  RouteNotFound: row(404, 24, 'never', '/openapi.json has all routes.'),
  MethodNotAllowed: row(405, 2, 'never', 'The header Allow, and /openapi.json, say what can be asked there.'),
  BodyTooLarge: row(413, 2, 'never', 'Send less; /openapi.json says what each request takes.'),
  BodyNotJson: row(415, 2, 'never', 'Send JSON, with "Content-Type: application/json".'),
  KeyReused: row(422, 2, 'never', 'Give each new request an Idempotency-Key of its own.'),
  TooManyStreams: row(429, 24, 'never', 'Close streams that nobody reads, or ask for the operation now and then.'),
} as const satisfies Record<string, Row>;

export type ErrorCode = keyof typeof errorTable;

/** An error that a user reads: `message` says what failed and where, `hint` what to do. */
export class HomarusError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = code;
    this.code = code;
    this.hint = options.hint ?? errorTable[code].hint;
  }
}

/** What a file call says when a file system has no room for more. */
const fullCodes: Record<string, string> = { ENOSPC: 'is full', EDQUOT: 'has no quota left' };

/** `NoSpace` for a file call that failed for it; undefined for any other error. `where`: what may have been written to. */
export function noSpaceAt(where: string, error: unknown): HomarusError | undefined {
  const { code, path } = (error ?? {}) as { code?: unknown; path?: unknown };
  const full = typeof code === 'string' ? fullCodes[code] : undefined;
  if (full === undefined) return undefined;
  const place = typeof path === 'string' ? path : where;
  return new HomarusError('NoSpace', `the file system of ${place} ${full}`, { cause: error });
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorTable, text);
}

/** True for what a storage lost or altered. */
export const isLoss = (error: unknown): error is HomarusError =>
  error instanceof HomarusError && hasCode(error, 'ObjectMissing', 'ObjectDamaged');

/** True when `error` is ours and bears one of `codes`; works for errors that crossed a thread or a realm. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && (codes as string[]).includes(code);
}
