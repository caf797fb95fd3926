/** The servers Homarus can bring up for development and tests. A new one is a row here and a Go module in servers/<name>/. */
export interface ServerRow {
  /** The file's name on the PATH and in the cache. */
  binary: string;
  version: string;
  /** Folder in servers/ where its name is not that. */
  module?: string;
  /** The Go package of the pinned module, and the variable that its version is linked into. */
  package: string;
  versionVariable: string;
  /** For the linker, beside the usual ones. */
  linkFlags?: string;
  /** Environment: a server that already runs, and a binary to use. */
  addressVariable: string;
  pathVariable: string;
  /** How long a build takes, in words: two cores, nothing cached. */
  buildTakes: string;
  /** The version in the answer to --version that must not be below `oldest`. */
  versionPattern: RegExp;
  oldest: readonly [major: number, minor: number];
  /** The official archive, if there is one: tried only with a checksum in servers/<name>/checksums.json. */
  archive?: (version: string, platform: string, arch: string) => string;
}

export type ServerName = 'temporal' | 'versitygw' | 'etcd' | 'etcdutl' | 'm3dbnode';

export const table: Record<ServerName, ServerRow> = {
  temporal: {
    binary: 'temporal',
    version: '1.8.2',
    package: 'github.com/temporalio/cli/cmd/temporal',
    versionVariable: 'github.com/temporalio/cli/internal/temporalcli.Version',
    addressVariable: 'TEMPORAL_ADDRESS',
    pathVariable: 'TEMPORAL_CLI_PATH',
    buildTakes: 'about 6 minutes',
    // The server inside counts: the CLI's own number says 0.0.0 in many builds.
    versionPattern: /Server (\d+)\.(\d+)/,
    oldest: [1, 27],
    archive: (version, platform, arch) =>
      `https://temporal.download/cli/archive/v${version}?platform=${platform}&arch=${arch}`,
  },
  versitygw: {
    binary: 'versitygw',
    version: '1.8.0',
    package: 'github.com/versity/versitygw/cmd/versitygw',
    versionVariable: 'main.Version',
    addressVariable: 'HOMARUS_S3_ENDPOINT',
    pathVariable: 'HOMARUS_VERSITYGW_PATH',
    buildTakes: 'about a minute',
    // Below the tested version a conditional write may be ignored without a word.
    versionPattern: /Version\s*:\s*v?(\d+)\.(\d+)/,
    oldest: [1, 8],
  },
  etcd: {
    binary: 'etcd',
    version: '3.6.4',
    package: 'go.etcd.io/etcd/server/v3',
    versionVariable: 'go.etcd.io/etcd/api/v3/version.Version',
    addressVariable: 'HOMARUS_ETCD_ENDPOINT',
    pathVariable: 'HOMARUS_ETCD_PATH',
    buildTakes: 'about half a minute',
    versionPattern: /etcd Version: (\d+)\.(\d+)/,
    oldest: [3, 6],
  },
  etcdutl: {
    binary: 'etcdutl',
    version: '3.6.4',
    module: 'etcd',
    package: 'go.etcd.io/etcd/etcdutl/v3',
    versionVariable: 'go.etcd.io/etcd/api/v3/version.Version',
    addressVariable: 'HOMARUS_ETCD_ENDPOINT',
    pathVariable: 'HOMARUS_ETCDUTL_PATH',
    buildTakes: 'some seconds after etcd',
    versionPattern: /etcdutl version: (\d+)\.(\d+)/,
    oldest: [3, 6],
  },
  m3dbnode: {
    binary: 'm3dbnode',
    version: '1.5.0',
    module: 'm3',
    package: 'github.com/m3db/m3/src/cmd/services/m3dbnode/main',
    versionVariable: 'github.com/m3db/m3/src/x/instrument.Version',
    // A dependency reaches into the runtime by names that Go hides since 1.23.
    linkFlags: '-checklinkname=0',
    addressVariable: 'HOMARUS_M3DBNODE_ENDPOINT',
    pathVariable: 'HOMARUS_M3DBNODE_PATH',
    buildTakes: 'about a minute',
    // It tells its version to nobody: of those on the PATH none is taken.
    versionPattern: /m3dbnode (\d+)\.(\d+)/,
    oldest: [1, 5],
  },
};
