import type { OperationKind } from './documents.ts';
import type { OperationEnd } from './results.ts';

/** What people are told when they do not look: docs/monitoring/README.md. */

/** How an operation ended; a schedule's start that was missed for good; a last backup that is too old. */
export type NoticeEvent = OperationEnd | 'missed' | 'overdue';

export const noticeEvents = ['succeeded', 'failed', 'cancelled', 'skipped', 'missed', 'overdue'] as const;

export interface Notice {
  event: NoticeEvent;
  cluster: string;
  /** One line for people. */
  message: string;
  /** ISO 8601 */
  at: string;
  /** Of an operation: its id, kind, who asked, and its backup. */
  operation?: { id: string; kind: OperationKind; by: string; backup?: string };
  schedule?: string;
  /** Of a failure. */
  code?: string;
  hint?: string;
}

/** Who is told, and of what. */
export interface NoticeTarget {
  name: string;
  on: readonly NoticeEvent[];
  /** Only of these operations; of all where it is missing. */
  operations?: readonly string[] | undefined;
}

/** Kinds of operations whose ends are worth telling. */
const TOLD: readonly OperationKind[] = ['backup', 'restore', 'drill', 'cleanup', 'verify'];

export const isTold = (kind: OperationKind): boolean => TOLD.includes(kind);

export const wants = ({ on, operations }: NoticeTarget, { event, operation }: Notice): boolean =>
  on.includes(event) && (operations === undefined || operation === undefined || operations.includes(operation.kind));
