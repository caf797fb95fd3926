import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { HomarusError } from '../../domain/errors.ts';

/** What a placement of M3 says of one of its nodes. */
export interface Instance {
  id: string;
  /** `host:port` */
  endpoint: string;
  hostname: string;
  /** Kept as it is when it is not given. */
  isolationGroup?: string | undefined;
  port?: number | undefined;
}

interface Placement extends protobuf.Message {
  instances: { key: string; value?: Stored | null }[];
}

interface Stored {
  id: string;
  isolationGroup: string;
  endpoint: string;
  shards: { id: number; sourceId: string }[];
  hostname: string;
  port: number;
}

const type = protobuf
  .loadSync(fileURLToPath(new URL('placement.proto', import.meta.url)))
  .lookupType('homarus.m3.Placement');

/** Ids of a placement's instances, in its order. `M3PlacementUnfit` when it is none, or one id is there twice. */
export function instancesOf(placement: Uint8Array): string[] {
  const ids = decoded(placement).instances.map(({ value }) => value?.id ?? '');
  const twice = ids.find((id, place) => ids.indexOf(id) < place);
  if (twice !== undefined) throw unfit(`the placement has instance "${twice}" twice`);
  return ids;
}

/** `M3PlacementUnfit` unless the placement has exactly the instances of these ids. */
export function expectInstances(placement: Uint8Array, ids: readonly string[]): void {
  const present = instancesOf(placement);
  const absent = ids.filter((id) => !present.includes(id));
  if (absent.length > 0)
    throw unfit(`the placement has no instance ${absent.join(', ')}; it has ${present.join(', ')}`);
  const left = present.filter((id) => !ids.includes(id));
  if (left.length > 0) throw unfit(`the placement has instance ${left.join(', ')}, which is of no node`);
}

/**
 * The placement with other instances in the place of its own: `takers` says by the id of each which one takes its place. In
 * one step, so that ids may be permuted. Weight, zone, shards, metadata and fields that are not known here stay as they
 * are, and so do the states of shards. `M3PlacementUnfit` when an instance is missing or left over.
 */
export function rewritePlacement(placement: Uint8Array, takers: ReadonlyMap<string, Instance>): Buffer {
  expectInstances(placement, [...takers.keys()]);
  const ids = [...takers.values()].map(({ id }) => id);
  const twice = ids.find((id, place) => ids.indexOf(id) < place);
  if (twice !== undefined) throw unfit(`instance "${twice}" would take the places of two`);
  const message = decoded(placement);
  for (const entry of message.instances) {
    const stored = entry.value as Stored;
    const former = stored.id;
    const taker = takers.get(former) as Instance;
    entry.key = taker.id;
    stored.id = taker.id;
    stored.endpoint = taker.endpoint;
    stored.hostname = taker.hostname;
    if (taker.isolationGroup !== undefined) stored.isolationGroup = taker.isolationGroup;
    if (taker.port !== undefined) stored.port = taker.port;
    for (const shard of stored.shards) {
      if (shard.sourceId === '') continue;
      const source = takers.get(shard.sourceId);
      if (source === undefined) {
        throw unfit(
          `shard ${shard.id} of instance "${former}" comes from "${shard.sourceId}", which is not in the placement`,
        );
      }
      shard.sourceId = source.id;
    }
  }
  return Buffer.from(type.encode(message).finish());
}

function decoded(placement: Uint8Array): Placement {
  const reader = protobuf.Reader.create(placement);
  reader.discardUnknown = false;
  try {
    return type.decode(reader) as Placement;
  } catch (cause) {
    throw unfit(`what stands in its place is no placement: ${(cause as Error).message}`, cause);
  }
}

const unfit = (message: string, cause?: unknown): HomarusError =>
  new HomarusError('M3PlacementUnfit', `M3: ${message}`, { cause });
