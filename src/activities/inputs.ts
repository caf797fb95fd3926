import { backupEntry, backupName, documentId, drillRecord, indexRef, name, totals } from '../domain/documentShapes.ts';
import { HomarusError } from '../domain/errors.ts';
import { noticeEvents } from '../domain/notices.ts';
import { readData, requestShapes } from '../domain/requestShapes.ts';
import type { Shape } from '../domain/shape.ts';
import {
  anything,
  count,
  either,
  flag,
  hash,
  list,
  matching,
  number,
  oneOf,
  optional,
  orNull,
  record,
  text,
} from '../domain/shape.ts';
import { toFailure } from './boundary.ts';

/**
 * What activities are handed comes from a queue that others can write to: ids become parts of keys and paths, so each
 * input is checked before anything is done with it.
 */

const operation = matching(/^(?!\.{1,2}$)[\w.~:+=@-]{1,200}$/, 'the id of an operation');
const key = matching(
  /^(?:staging\/\d{16}-|reports\/)(?!\.{1,2}\/)[\w.~:+=@-]+(?:\/(?!\.{1,2}(?:\/|$))[\w.~:+=@-]+)+$/,
  'the key of a staged list',
);
const nonce = matching(/^[\w-]{1,100}$/, 'a nonce');
const kind = oneOf('backup', 'estimate', 'restore', 'preview', 'drill', 'cleanup', 'lock', 'verify', 'keys');

const attempt = record({ operation, run: text, kind, by: text, since: text });
const storageGrant = record({ attempt, storage: name, repository: text, epoch: count, root: count, ttl: count });
const nodeGrant = record({ attempt, node: name, grant: count, host: text, incarnation: text, ttl: count });
const stagedList = record({ key, segments: count, records: count, hash });
const staged = record({ key, length: count, hash });
const snapshot = record({ node: name, chunks: stagedList, snapshot: staged, totals, skipped: count, vanished: count });
const uploaded = { entries: stagedList, packs: staged, bytes: count, stored: count };
const upload = record({ node: name, ...uploaded });
const packs = {
  ...{ packs: count, bytes: count, readPacks: count, readBytes: count, damaged: count },
  list: orNull(stagedList),
};
const storage = optional(name);
const notice = record({ event: oneOf(...noticeEvents), cluster: name, message: text, at: text });

const restoreWork = {
  storageName: name,
  repository: text,
  backup: backupEntry,
  from: name,
  paths: list(text),
  to: orNull(matching(/^\/[^\0]*$/, 'an absolute path')),
  verifyExisting: flag,
};

/** By the name of the activity; `optional` is how JSON has what is undefined. */
export const inputs: Readonly<Record<string, Shape>> = {
  acquireStorage: record({ attempt, storage, nonce }),
  keepStorage: storageGrant,
  releaseStorage: record({ attempt, storage, epoch: orNull(count), nonce }),
  planBackup: record({ grant: storageGrant, snapshots: list(snapshot) }),
  commitBackup: record({
    grant: storageGrant,
    id: documentId,
    nonce,
    label: text,
    attempt: count,
    started: text,
    snapshots: list(snapshot),
    missing: list(name),
    uploads: list(upload),
    streams: list(record({ name: text, chunks: staged, upload: orNull(record(uploaded)) })),
    requires: list(backupName),
    orphans: orNull(indexRef),
    plugin: record({ name: text, version: count, data: anything }),
  }),
  clusterSettings: record({ storage }),
  planEstimate: record({ storage }),
  noticeTargets: record({ notice }),
  sendNotice: record({ target: name, notice }),
  planRestore: record({ request: requestShapes.restore }),
  planDrill: record({ request: requestShapes.drill }),
  drillPace: record({ storage: name, repository: text }),
  recordDrill: record({ storage: name, repository: text, backup: backupName, by: text, drill: drillRecord }),
  drillNode: record({
    ...{ grant: nodeGrant, storageName: name, repository: text, backup: backupEntry, froms: list(name) },
    directory: matching(/^\/[^\0]*$/, 'an absolute path'),
    sample: record({ percent: number, seed: count }),
  }),
  endDrill: record({ grant: nodeGrant }),
  cleanUp: record({ grant: storageGrant, nonce, request: requestShapes.cleanup }),
  planVerify: record({ request: requestShapes.verify }),
  verifyStored: record({ storage: name, repository: text, operation, packs: list(record(packs)) }),
  noteDamage: record({ grant: storageGrant, nonce, report: stagedList }),
  verifyPacks: record({
    ...{ storageName: name, repository: text, operation, root: count },
    share: record({ number: count, of: count }),
    readData: orNull(readData),
  }),
  acquireNode: record({ attempt, ttl: count, plugin: orNull(record({ name: text, version: count })) }),
  keepNode: nodeGrant,
  releaseNode: record({ attempt, committed: orNull(record({ repository: text, backup: documentId })) }),
  snapshotNode: record({ grant: nodeGrant, storage: storageGrant }),
  estimateNode: record({ operation, storageName: name, repository: text }),
  uploadNode: record({ grant: nodeGrant, storage: storageGrant, wanted: stagedList }),
  restoreNode: record({ grant: nodeGrant, storage: orNull(storageGrant), ...restoreWork }),
  previewNode: record({ operation, ...restoreWork }),
};

/** Of a plugin's activities, on a node or on a coordinator: what else they are handed is the plugin's to judge. */
const pluginInput = either(
  record({ work: record({ operation, storage: name, repository: text, grant: optional(storageGrant) }) }),
  record({ grant: nodeGrant, to: optional(matching(/^\/[^\0]*$/, 'an absolute path')) }),
);

/** The same activities, which refuse an input that is none of theirs: `BadInput` names the activity and the field. */
export function atTheDoor<T extends object>(activities: T): T {
  const guarded = Object.entries(activities).map(([activity, run]) => [
    activity,
    async (input: unknown): Promise<unknown> => {
      const fault = (inputs[activity] ?? pluginInput)(input, '');
      if (fault !== undefined) throw toFailure(new HomarusError('BadInput', `input of ${activity}: ${fault}`));
      return (run as (input: unknown) => Promise<unknown>)(input);
    },
  ]);
  return Object.fromEntries(guarded) as T;
}
