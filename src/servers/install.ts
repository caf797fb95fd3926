import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { launch, tail } from './process.ts';
import type { ServerRow } from './table.ts';

/** Puts a program into the empty folder `out`; `scratch` is for anything else it writes. */
export type Maker = (out: string, scratch: string) => Promise<void>;

/** Fills the cache folder `dir` whole or not at all: made aside, synced, renamed. */
export async function install(dir: string, binary: string, make: Maker): Promise<void> {
  const aside = await mkdtemp(`${dir}${ASIDE}`);
  try {
    const [out, scratch] = [join(aside, 'out'), join(aside, 'scratch')];
    await Promise.all([mkdir(out), mkdir(scratch)]);
    await make(out, scratch);
    const program = join(out, binary);
    await chmod(program, 0o755);
    await writeFile(checksumFile(program), `${await sha256(program)}  ${binary}\n`);
    for (const path of [program, checksumFile(program), out]) await sync(path);
    await rm(dir, { recursive: true, force: true });
    await rename(out, dir);
    await sync(dirname(dir));
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

const ASIDE = '.aside-';

/** Removes what an interrupted installation left; only the holder of the lock may call it. */
export async function sweep(dir: string): Promise<void> {
  for (const name of await readdir(dirname(dir))) {
    if (name.startsWith(basename(dir) + ASIDE)) await rm(join(dirname(dir), name), { recursive: true, force: true });
  }
}

export type Cached = 'absent' | 'good' | 'damaged';

export async function inspect(program: string): Promise<Cached> {
  const recorded = await readFile(checksumFile(program), 'utf8').catch(() => undefined);
  const actual = await sha256(program).catch(() => undefined);
  if (recorded === undefined && actual === undefined) return 'absent';
  return actual !== undefined && recorded?.split(' ')[0] === actual ? 'good' : 'damaged';
}

/** A build of the pinned Go module in `module`; Go itself checks every source against go.sum. */
export function goBuild(row: ServerRow, go: string, module: string, env: NodeJS.ProcessEnv): Maker {
  return async (out, scratch) => {
    const logFile = join(scratch, 'go.log');
    const flags = ['-mod=readonly', '-trimpath', '-buildvcs=false'];
    const link = `-s -w -X ${row.versionVariable}=${row.version} ${row.linkFlags ?? ''}`.trimEnd();
    const build = launch(go, ['build', ...flags, '-ldflags', link, '-o', join(out, row.binary), row.package], {
      logFile,
      cwd: module,
      env: { ...env, CGO_ENABLED: '0', GOTOOLCHAIN: 'auto', GOWORK: 'off', GOTMPDIR: scratch },
    });
    const ended = await build.exited;
    if (ended !== 'exited with code 0') throw new Error(`go build in ${module} ${ended}:\n${await tail(logFile)}`);
  };
}

/** The official archive, refused unless its SHA-256 is the given one. */
export function download(row: ServerRow, url: string, expected: string): Maker {
  return async (out, scratch) => {
    const response = await fetch(url);
    if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status}`);
    const archive = join(scratch, 'archive.tar.gz');
    await pipeline(Readable.fromWeb(response.body as ReadableStream), createWriteStream(archive));
    const actual = await sha256(archive);
    if (actual !== expected) throw new Error(`${url} has SHA-256 ${actual}, not ${expected}: not used`);
    const logFile = join(scratch, 'tar.log');
    const ended = await launch('tar', ['-xzf', archive, '-C', out, row.binary], { logFile }).exited;
    if (ended !== 'exited with code 0') throw new Error(`tar ${ended} on ${url}:\n${await tail(logFile)}`);
  };
}

const checksumFile = (program: string): string => `${program}.sha256`;

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

async function sync(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
