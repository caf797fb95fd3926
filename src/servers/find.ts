import { execFile } from 'node:child_process';
import { access, constants, mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { download, goBuild, inspect, install, type Maker, sweep } from './install.ts';
import { alone } from './lock.ts';
import { type ServerName, type ServerRow, table } from './table.ts';

export type Report = (line: string) => void;

export interface Found {
  path: string;
  /** Which step of the order won. */
  how: string;
}

// Two levels up is the package's root from src/ and from dist/ alike.
const modules = fileURLToPath(new URL('../../servers/', import.meta.url));

/** The address of a server that the user runs: the caller then starts none. */
export function givenAddress(name: ServerName, env = process.env): string | undefined {
  return env[table[name].addressVariable] || undefined;
}

/** The binary named in the environment, else one on the PATH, our cache, the official download, a build with Go. */
export async function findServer(name: ServerName, report: Report, env = process.env): Promise<Found> {
  const row = table[name];
  const given = env[row.pathVariable];
  if (given) {
    if (await executable(given)) return { path: given, how: row.pathVariable };
    throw new Error(`${row.pathVariable} names ${given}, which is not an executable file: correct it or unset it`);
  }
  const installed = await onPath(row.binary, env);
  if (installed && (await recentEnough(row, installed, report))) return { path: installed, how: 'PATH' };

  const cache = join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'homarus', 'servers', name);
  const dir = join(cache, row.version);
  const program = join(dir, row.binary);
  if ((await inspect(program)) === 'good') return { path: program, how: 'cache' };

  await mkdir(cache, { recursive: true });
  const onWait = () => report(`Another process is getting ${name} ${row.version}: waiting for it.`);
  return alone(`${dir}.lock`, onWait, async () => {
    const state = await inspect(program);
    if (state === 'good') return { path: program, how: 'cache' };
    if (state === 'damaged') report(`${program} does not match its recorded SHA-256: it is replaced.`);
    await sweep(dir);
    return { path: program, how: await obtain(name, dir, report, env) };
  });
}

async function obtain(name: ServerName, dir: string, report: Report, env: NodeJS.ProcessEnv): Promise<string> {
  const row = table[name];
  const reasons: string[] = [];
  const archive = await officialArchive(name, env);
  if (typeof archive === 'string') reasons.push(archive);
  else {
    report(`Downloading ${name} ${row.version} from ${archive.url}, once, into ${dir}.`);
    try {
      await install(dir, row.binary, archive.make);
      return 'download';
    } catch (error) {
      reasons.push(`the download failed: ${(error as Error).message}`);
    }
  }
  const go = await onPath('go', env);
  const goVersion = go && (await answer(go, ['version'], { ...env, GOTOOLCHAIN: 'local' }));
  if (!go || !atLeast(goVersion, /go(\d+)\.(\d+)/, [1, 21])) {
    reasons.push(go ? `${go} is older than Go 1.21` : 'no Go on the PATH to build it with');
    throw new Error(
      `cannot get ${name}: none in ${row.pathVariable}, on the PATH or in ${dir}; ${reasons.join('; ')}. ` +
        `Install ${name} ${row.version} or Go 1.21 or newer, or set ${row.addressVariable} to one that runs`,
    );
  }
  report(`No ready ${name} here (${reasons.join('; ')}).`);
  report(`Building ${name} ${row.version} with ${go}, once, into ${dir}: ${row.buildTakes}.`);
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1000);
  const progress = setInterval(() => report(`Still building ${name}: ${seconds()} s so far.`), 30_000);
  try {
    await install(dir, row.binary, goBuild(row, go, join(modules, row.module ?? name), env));
  } finally {
    clearInterval(progress);
  }
  report(`Built ${name} ${row.version} in ${seconds()} s.`);
  return 'build';
}

/** The download to try, or why there is none. */
async function officialArchive(
  name: ServerName,
  env: NodeJS.ProcessEnv,
): Promise<string | { url: string; make: Maker }> {
  const row = table[name];
  if (!row.archive) return 'it has no official download';
  if (env.HOMARUS_NO_DOWNLOAD) return 'HOMARUS_NO_DOWNLOAD is set';
  const checksums: Record<string, string> = JSON.parse(await readFile(join(modules, name, 'checksums.json'), 'utf8'));
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const checksum = checksums[`${row.version}/${process.platform}/${arch}`];
  if (!checksum)
    return `no checksum of the official download is known for ${process.platform}/${arch}, so it is not tried`;
  const url = row.archive(row.version, process.platform, arch);
  return { url, make: download(row, url, checksum) };
}

async function recentEnough(row: ServerRow, program: string, report: Report): Promise<boolean> {
  const version = await answer(program, ['--version'], process.env);
  if (atLeast(version, row.versionPattern, row.oldest)) return true;
  const said = version.trim().split('\n')[0] || 'nothing';
  report(`Not using ${program}: it answers "${said}" to --version, and ${row.oldest.join('.')} or newer is needed.`);
  return false;
}

function atLeast(text: string | undefined, pattern: RegExp, oldest: readonly [number, number]): boolean {
  const [, major, minor] = pattern.exec(text ?? '')?.map(Number) ?? [];
  if (major === undefined || minor === undefined) return false;
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}

async function answer(program: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> {
  return promisify(execFile)(program, args, { env, timeout: 20_000 }).then(
    ({ stdout }) => stdout,
    () => '',
  );
}

async function onPath(binary: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  for (const folder of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const file = join(folder, binary);
    if (await executable(file)) return file;
  }
  return undefined;
}

async function executable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
