import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Contender, Place } from './contender.ts';
import { versionOf } from './contender.ts';
import type { Measured } from './measure.ts';
import { bytesBelow, measure } from './measure.ts';

/** Tools of others, as far as they are installed: zstd at their own level, encrypted, their caches in the room. */

/** How one of them is called. */
interface Peer {
  program: string;
  version: readonly string[];
  buckets: boolean;
  env(o: Addressed): Record<string, string>;
  init: readonly string[];
  /** Run in the directory of the data. */
  backup(o: Addressed): readonly string[];
  restore(o: Addressed, to: string): { args: readonly string[]; cwd?: string };
  /** None where it takes more than one command. */
  keepNewest?(keep: number): readonly string[];
}

interface Addressed {
  repository: string;
  cache: string;
  /** A file with it, and itself. */
  passwordFile: string;
  password: string;
  number: number;
}

const restic: Peer = {
  program: 'restic',
  version: ['version'],
  buckets: true,
  env: ({ repository, cache, passwordFile }) => ({
    RESTIC_REPOSITORY: repository,
    RESTIC_CACHE_DIR: cache,
    RESTIC_PASSWORD_FILE: passwordFile,
    RESTIC_COMPRESSION: 'auto',
    RESTIC_PROGRESS_FPS: '0.1',
  }),
  init: ['init', '--repository-version', '2'],
  backup: () => ['backup', '.'],
  restore: (_, to) => ({ args: ['restore', 'latest', '--target', to] }),
  keepNewest: (keep) => ['forget', '--keep-last', String(keep), '--prune'],
};

const rustic: Peer = {
  program: 'rustic',
  version: ['--version'],
  buckets: false,
  env: ({ repository, cache, passwordFile }) => ({
    RUSTIC_REPOSITORY: repository,
    RUSTIC_CACHE_DIR: cache,
    RUSTIC_PASSWORD_FILE: passwordFile,
    RUSTIC_NO_PROGRESS: 'true',
  }),
  init: ['init'],
  backup: () => ['backup', '.'],
  restore: (_, to) => ({ args: ['restore', 'latest', to] }),
  keepNewest: (keep) => ['forget', '--keep-last', String(keep), '--prune'],
};

const borg: Peer = {
  program: 'borg',
  version: ['--version'],
  buckets: false,
  env: ({ repository, cache, password }) => ({
    BORG_REPO: repository,
    BORG_BASE_DIR: cache,
    BORG_PASSPHRASE: password,
  }),
  init: ['init', '--encryption', 'repokey-blake2'],
  backup: ({ number }) => ['create', '--compression', 'zstd', `::backup-${number}`, '.'],
  restore: ({ number }, to) => ({ args: ['extract', `::backup-${number}`], cwd: to }),
};

/** Those that are installed, and can use the place. */
export function installedPeers(place: Place, wanted: readonly string[]): Contender[] {
  return [restic, rustic, borg]
    .filter(({ program, buckets }) => wanted.includes(program) && (buckets || place.bucket === undefined))
    .flatMap((peer) => {
      const version = versionOf(peer.program, ...peer.version);
      return version === undefined ? [] : [new PeerContender(peer, version, place)];
    });
}

class PeerContender implements Contender {
  readonly name: string;
  readonly version: string;
  readonly #peer: Peer;
  readonly #place: Place;
  readonly #room: string;
  #data = '';
  #repositories = 0;
  #backups = 0;

  constructor(peer: Peer, version: string, place: Place) {
    this.name = peer.program;
    this.version = version;
    this.#peer = peer;
    this.#place = place;
    this.#room = join(place.room, peer.program);
    rmSync(this.#room, { recursive: true, force: true });
    mkdirSync(this.#room, { recursive: true });
    writeFileSync(this.#addressed.passwordFile, `${this.#addressed.password}\n`, { mode: 0o600 });
  }

  async begin(data: string): Promise<void> {
    this.#data = data;
    for (const directory of [this.#directory, this.#addressed.cache])
      rmSync(directory, { recursive: true, force: true });
    this.#repositories++;
    this.#backups = 0;
    mkdirSync(this.#addressed.cache, { recursive: true });
    await this.#run(this.#peer.init);
  }

  backup(): Promise<Measured> {
    this.#backups++;
    return this.#run(this.#peer.backup(this.#addressed), this.#data);
  }

  restore(to: string): Promise<Measured> {
    const { args, cwd } = this.#peer.restore(this.#addressed, to);
    return this.#run(args, cwd);
  }

  keepNewest(keep: number): Promise<Measured> {
    const args = this.#peer.keepNewest?.(keep);
    if (args === undefined) throw new Error(`${this.name} does not do that in one command`);
    return this.#run(args);
  }

  stored(): number {
    return bytesBelow(this.#directory);
  }

  get #directory(): string {
    const base = this.#place.bucket?.directory ?? this.#room;
    return join(base, `${this.name}-${this.#repositories}`);
  }

  get #addressed(): Addressed {
    const { bucket } = this.#place;
    const name = `${this.name}-${this.#repositories}`;
    return {
      repository: bucket ? `s3:${bucket.endpoint}/${bucket.bucket}/${name}` : this.#directory,
      cache: join(this.#room, 'cache'),
      passwordFile: join(this.#room, 'password'),
      password: 'for measurements only',
      number: this.#backups,
    };
  }

  #run(args: readonly string[], cwd?: string): Promise<Measured> {
    const { bucket } = this.#place;
    const keys = bucket
      ? {
          AWS_ACCESS_KEY_ID: bucket.accessKeyId,
          AWS_SECRET_ACCESS_KEY: bucket.secretAccessKey,
          AWS_DEFAULT_REGION: 'us-east-1',
        }
      : {};
    return measure({
      program: this.#peer.program,
      args,
      env: { ...this.#peer.env(this.#addressed), ...keys },
      log: join(this.#room, 'log'),
      ...(cwd === undefined ? {} : { cwd }),
    });
  }
}
