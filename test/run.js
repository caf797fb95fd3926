// npm test: builds what is stale, makes sure of the servers, runs jest, and closes with one plain line of counts.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = pathsFirst(process.argv.slice(2));
process.exitCode = await main();

async function main() {
  if (stale()) {
    const built = run('npm', ['run', '--silent', 'build']);
    if (built !== 0) return built;
  }
  if (needsServers()) {
    // By its address, so that the types come from the sources and are there before the first build.
    /** @type {typeof import('../src/servers.ts')} */
    const { findServer, givenAddress } = await import(new URL('../dist/servers.js', import.meta.url).href);
    for (const name of /** @type {const} */ (['temporal', 'versitygw', 'etcd', 'etcdutl', 'm3dbnode'])) {
      const address = givenAddress(name);
      const found = address ? { path: address, how: 'the environment' } : await findServer(name, console.log);
      console.log(`${name}: ${found.path} (${found.how})`);
    }
  }
  const room = mkdtempSync(join(tmpdir(), 'homarus-test-'));
  try {
    return jest(join(room, 'results.json'));
  } finally {
    rmSync(room, { recursive: true, force: true });
  }
}

/** @param {string} results */
function jest(results) {
  const status = run(process.execPath, [
    ...['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'],
    // Real servers share these two cores: more workers would only make each other late.
    ...['--maxWorkers=2', '--json', `--outputFile=${results}`, ...args],
  ]);
  if (!existsSync(results)) return status || 1;
  const counts = JSON.parse(readFileSync(results, 'utf8'));
  // A file that does not even load has no tests to count: it counts itself.
  const failed = counts.numFailedTests + counts.numRuntimeErrorTestSuites;
  const skipped = counts.numPendingTests + counts.numTodoTests;
  console.log(`${counts.numPassedTests} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
  return status;
}

/** @param {string} command @param {string[]} parameters */
function run(command, parameters) {
  const { status, error } = spawnSync(command, parameters, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error) console.error(`cannot run ${command}: ${error.message}`);
  return status ?? 1;
}

/**
 * jest takes every word behind --selectProjects for a project: what is none of them is a path, and goes before it.
 * @param {string[]} given
 */
function pathsFirst(given) {
  const at = given.indexOf('--selectProjects');
  if (at < 0) return given;
  const words = given.slice(at + 1);
  const paths = words.filter((word) => word.includes('/') || word.endsWith('.ts'));
  return [...paths, ...given.slice(0, at + 1), ...words.filter((word) => !paths.includes(word))];
}

/** Unit tests alone need none. */
function needsServers() {
  const at = args.indexOf('--selectProjects');
  return at < 0 || args.slice(at + 1).some((word) => ['integration', 'faults', 'system'].includes(word));
}

function stale() {
  const sources = Math.max(
    newest('src'),
    ...['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'].map(changed),
  );
  return !existsSync(join(root, 'dist')) || sources > newest('dist');
}

/** @param {string} folder */
function newest(folder) {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return Math.max(...names.map((name) => changed(join(folder, name))));
}

/** @param {string} path */
function changed(path) {
  return statSync(join(root, path)).mtimeMs;
}
