import { backupName, name } from './documentShapes.ts';
import type { OperationKind } from './documents.ts';
import type { Shape } from './shape.ts';
import { count, either, flag, list, matching, number, optional, orNull, record, text } from './shape.ts';

/** What operations may be asked (`requests.ts`), by their kind: whoever reaches Temporal can start a workflow with anything. */

const common = {
  storage: optional(name),
  by: optional(text),
  waitForLock: optional(number),
  skipIfLocked: optional(flag),
};
const backup = record({
  ...common,
  label: optional(text),
  withoutNodes: optional(list(text)),
  allowMissing: optional(count),
});
const restore = record({
  ...common,
  backup: text,
  before: optional(text),
  nodes: optional(list(text)),
  paths: optional(list(text)),
  to: optional(text),
  verifyExisting: optional(flag),
  map: optional(list(record({ from: text, to: text }))),
  check: optional(flag),
});
const retention = record({
  keepLast: optional(count),
  minimumBackups: optional(count),
  maximumBackups: optional(count),
  keepDays: optional(count),
});

export const readData = either(record({ percent: number }), record({ bytes: number }));

export const requestShapes = {
  backup,
  estimate: backup,
  restore,
  preview: restore,
  drill: record({
    ...common,
    backup: optional(text),
    percent: optional(number),
    node: optional(text),
    directory: optional(matching(/^\/[^\0]*$/, 'an absolute path')),
    check: optional(flag),
  }),
  cleanup: record({
    ...common,
    retention: optional(retention),
    backups: optional(list(backupName)),
    orphans: optional(flag),
    rewrite: optional(record({ maxUnused: optional(number), maxRepackBytes: optional(orNull(count)) })),
  }),
  verify: record({ ...common, readData: optional(readData) }),
  lock: record({ ...common, for: number }),
} satisfies Partial<Record<OperationKind, Shape>>;

/** The kinds that are workflows. */
export type RequestKind = keyof typeof requestShapes;

/** What is wrong with what a workflow was started with, for people; undefined when nothing is. */
export const faultOf = (kind: RequestKind, cluster: unknown, request: unknown): string | undefined =>
  name(cluster, 'cluster') ?? requestShapes[kind](request, 'request');
