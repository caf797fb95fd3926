import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What npm and this checkout's own tests leave in the environment; not where servers and certificates are. */
const OURS =
  /^(npm_(package|lifecycle)_|npm_config_(local_|global_)?prefix$|(INIT_CWD|NODE_OPTIONS|NODE_PATH|HOMARUS_CONFIG|TEMPORAL_(ADDRESS|NAMESPACE|PROFILE))$)/;

interface PackedFile {
  path: string;
  size: number;
}

/** What `npm pack` makes of the build, and an empty directory where nothing but that and its dependencies is installed. */
export class Packed {
  readonly directory = mkdtempSync(join(tmpdir(), 'homarus-packed-'));
  /** Where it is installed. */
  readonly app = join(this.directory, 'app');
  readonly files: readonly PackedFile[];
  readonly #archive: string;

  constructor() {
    // The runner has built it.
    const packed = this.#npm('pack', root, '--json', '--ignore-scripts', '--pack-destination', this.directory);
    const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: PackedFile[] }];
    this.#archive = join(this.directory, filename);
    this.files = files;
  }

  /** As an operator installs it, but for the versions: those of our lock file, so that no day's news break a test. */
  install(): void {
    mkdirSync(this.app);
    const read = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8'));
    const { name, version, license, bin, engines, dependencies } = read('package.json');
    cpSync(this.#archive, join(this.app, 'homarus.tgz'));
    const wanted = { dependencies: { [name]: 'file:homarus.tgz' } };
    const others = Object.entries(read('package-lock.json').packages as Record<string, { dev?: boolean }>).filter(
      ([place, { dev }]) => place !== '' && !dev,
    );
    const ours = { version, resolved: 'file:homarus.tgz', license, bin, engines, dependencies };
    const packages = { '': wanted, [`node_modules/${name}`]: ours, ...Object.fromEntries(others) };
    writeFileSync(join(this.app, 'package.json'), JSON.stringify(wanted));
    writeFileSync(
      join(this.app, 'package-lock.json'),
      JSON.stringify({ lockfileVersion: 3, requires: true, packages }),
    );
    this.#npm('ci', this.app, '--omit=dev', '--prefer-offline', '--no-audit', '--no-fund');
  }

  /** Of a shell that has this Node first and knows nothing of the checkout. */
  get env(): NodeJS.ProcessEnv {
    const kept = Object.entries(process.env).filter(([name]) => !OURS.test(name));
    const path = [dirname(process.execPath), ...(process.env.PATH ?? '').split(delimiter)];
    return {
      ...Object.fromEntries(kept),
      PATH: path.filter((one) => !one.startsWith(join(root, 'node_modules', '.bin'))).join(delimiter),
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #npm(command: string, directory: string, ...args: string[]): string {
    return execFileSync('npm', [command, '--prefix', directory, ...args], {
      cwd: directory,
      env: this.env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    });
  }
}
