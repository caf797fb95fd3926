import type { Shape } from './shape.ts';
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
} from './shape.ts';

/** What must be true of documents before they are believed; above all of what becomes a part of a key or of a path. */

export const documentId = matching(/^\d{16}-[0-9a-f]{16}$/, 'an id');
export const packId = matching(/^\d{16}\/[0-9a-f]{16}$/, 'the id of a pack');
/** Of nodes, roots and clusters: as the configuration has them, so that none leads out of a directory. */
export const name = matching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name');
export const backupName = matching(/^[A-Za-z0-9][A-Za-z0-9.:_-]{0,99}$/, 'the name of a backup');
/** Empty where a repair could not know it. */
const time = matching(/^$|^\d{4}-\d\d-\d\dT[\d:.]{5,20}Z$/, 'a time');

const chunkAt = { chunk: hash, length: count };
export const streamChunks = list(record(chunkAt));
const tree = either(
  record({ pageList: record(chunkAt), pageCount: count }),
  record({ pages: list(record({ ...chunkAt, first: text })) }),
);
export const totals = record({ entries: count, files: count, bytes: count });

const holder = record({ operation: text, run: text, kind: text, by: text, since: text, ttl: count });

export const backupEntry = record({
  name: backupName,
  id: documentId,
  manifest: record({ length: count, hash }),
  kind: text,
  epoch: count,
  started: time,
  finished: time,
  label: text,
  plugin: text,
  nodes: count,
  files: count,
  bytes: count,
  added: count,
  stored: count,
  partial: optional(list(name)),
  requires: optional(list(backupName)),
});

export const indexRef = record({
  id: documentId,
  length: count,
  footer: count,
  hash,
  entries: count,
  epoch: count,
});

/** Version, features and number were looked at before. */
export const rootShape = record({
  previous: text,
  nonce: text,
  written: text,
  cluster: text,
  epoch: count,
  holder: orNull(holder),
  floor: count,
  swept: count,
  backups: list(backupEntry),
  indexes: list(indexRef),
  damaged: list(record({ kind: oneOf('pack', 'index', 'manifest'), id: text })),
  aside: optional(list(backupEntry)),
  keys: optional(record({ generation: count, slots: list(text), rewriteBelow: optional(count) })),
  space: optional(orNull(record({ epoch: count, used: count, unused: count, small: count }))),
});

export const manifestNode: Shape = record({
  id: name,
  az: text,
  host: text,
  roots: list(record({ name, tree, totals, snapshotAt: text, skipped: count, vanished: count })),
});

export const manifestShape = record({
  repository: text,
  cluster: text,
  name: backupName,
  id: documentId,
  kind: text,
  label: text,
  started: time,
  finished: time,
  attempt: count,
  epoch: count,
  plugin: record({ name: text, version: count, data: anything }),
  nodes: list(manifestNode),
  partial: optional(list(name)),
  streams: list(record({ name: text, chunks: streamChunks })),
  totals,
});

export const leaseShape = record({ version: oneOf(1), epoch: count, holder, ttl: count, refreshed: text });

/** What an authenticated note beside a key slot says. */
export const slotNote = record({ label: text, by: text, at: text, check: optional(text) });

const hex = matching(/^(?:[0-9a-f]{2})+$/, 'hex digits');
export const slotShape = record({
  version: oneOf(1),
  kdf: either(
    record({ name: oneOf('hkdf-sha256'), salt: hex }),
    record({ name: oneOf('scrypt'), salt: hex, n: count, r: count, p: count }),
  ),
  wrapped: hex,
  about: hex,
});

const damage = {
  kind: oneOf('root', 'manifest', 'index', 'pack', 'mark', 'lease', 'staged', 'slot', 'dataKey'),
  key: text,
  code: oneOf('ObjectMissing', 'ObjectDamaged'),
  reason: text,
};
const backups = list(backupName);
/** Lines of what a verify reports: of its share of the packs, and of all. */
export const damageLine = record(damage);
export const reportLine = either(
  record({ type: oneOf('damage'), ...damage }),
  record({ type: oneOf('backup'), backup: backupName, state: oneOf('whole', 'damaged', 'lost'), lostFiles: count }),
  record({ type: oneOf('loss'), backups, node: text, root: text, path: orNull(text), until: optional(orNull(text)) }),
);

/** How a restore drill went. */
export const drillRecord = record({
  ...{ operation: text, ok: flag, reason: optional(text), percent: number, files: count, bytes: count },
  ...{ fetchedBytes: count, tookMs: count, expectedMs: count, checked: flag },
});

export const markShape = record({
  backup: text,
  kind: text,
  at: text,
  by: text,
  note: text,
  drill: optional(drillRecord),
});

export const packRef = record({ id: packId, length: count, footer: count, chunks: count });
export const packRefs = list(packRef);

export const indexFooter = record({
  entries: count,
  packs: packRefs,
  pages: list(record({ first: hash, offset: count, stored: count, entries: count })),
});

export const parametersShape = record({
  id: matching(/^[0-9a-f]{32}$/, '32 hex digits'),
  cluster: text,
  chunker: record({ size: count, minimum: count, inline: count }),
  pack: record({ size: count, block: count }),
});
