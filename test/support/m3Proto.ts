import protobuf from 'protobufjs';

/** M3's documents in etcd with all their fields, written apart from what is tested. Longs are strings. */
const { root } = protobuf.parse(
  `
  syntax = "proto3";
  message Placement {
    map<string, Instance> instances = 1;
    uint32 replica_factor = 2;
    uint32 num_shards = 3;
    bool is_sharded = 4;
    int64 cutover_time = 5;
    bool is_mirrored = 6;
    uint32 max_shard_set_id = 7;
    bytes newer = 70;
  }
  message Instance {
    string id = 1;
    string isolation_group = 2;
    string zone = 3;
    uint32 weight = 4;
    string endpoint = 5;
    repeated Shard shards = 6;
    uint32 shard_set_id = 7;
    string hostname = 8;
    uint32 port = 9;
    Metadata metadata = 10;
    bytes newer = 71;
  }
  message Metadata { uint32 debug_port = 1; }
  message Shard {
    uint32 id = 1;
    int32 state = 2;
    string source_id = 3;
    int64 cutover_nanos = 4;
    int64 cutoff_nanos = 5;
    Value redirect_to_shard_id = 6;
    bytes newer = 72;
  }
  message Value { uint32 value = 1; }

  message Registry { map<string, Namespace> namespaces = 1; }
  message Namespace {
    bool bootstrap_enabled = 1;
    bool flush_enabled = 2;
    bool writes_to_commit_log = 3;
    bool cleanup_enabled = 4;
    Retention retention_options = 6;
    bool snapshot_enabled = 7;
    Index index_options = 8;
    bool cold_writes_enabled = 10;
    Staging staging_state = 14;
  }
  message Retention {
    int64 retention_period_nanos = 1;
    int64 block_size_nanos = 2;
    int64 buffer_future_nanos = 3;
    int64 buffer_past_nanos = 4;
    bool block_data_expiry = 5;
    int64 block_data_expiry_after_not_access_period_nanos = 6;
  }
  message Index { bool enabled = 1; int64 block_size_nanos = 2; }
  message Staging { int32 status = 1; }`,
  { keepCase: false },
);

export interface PlacementDocument {
  instances: Record<string, InstanceDocument>;
  [field: string]: unknown;
}

export interface InstanceDocument {
  id: string;
  isolationGroup?: string;
  endpoint?: string;
  hostname?: string;
  port?: number;
  shards?: { id?: number; sourceId?: string; [field: string]: unknown }[];
  [field: string]: unknown;
}

const encode = (name: string, document: object): Buffer => {
  const type = root.lookupType(name);
  return Buffer.from(type.encode(type.fromObject(document)).finish());
};

export const encodePlacement = (document: PlacementDocument): Buffer => encode('Placement', document);
export const encodeRegistry = (document: object): Buffer => encode('Registry', document);

export function decodePlacement(bytes: Uint8Array): PlacementDocument {
  const type = root.lookupType('Placement');
  return type.toObject(type.decode(bytes), { longs: String, bytes: String }) as PlacementDocument;
}
