import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from '@jest/globals';
import { createApi } from '../../src/api/server.ts';
import { newToken } from '../../src/api/tokens.ts';
import { GivenApi, operationOf } from '../api/given.ts';
import { givenBackup } from '../storage/given.ts';
import { testNeeding } from '../support/needing.ts';

/** Schemathesis asks the facade whatever the OpenAPI document allows, and much that it does not. */

const LONG = 590_000;
const VERSION = '4.32.5';
const SEED = 20_261_124;
const EXAMPLES = process.env.HOMARUS_LONG ? 400 : 25;

const run = promisify(execFile);

/** Installed once, from PyPI, beside the servers of other tests. */
async function schemathesis(): Promise<string> {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'homarus', 'python');
  const place = join(folder, `schemathesis-${VERSION}`);
  const program = join(place, 'bin', 'schemathesis');
  if (!existsSync(join(place, 'whole'))) {
    rmSync(place, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    await run('python3', ['-m', 'venv', place]);
    await run(join(place, 'bin', 'pip'), ['install', '--quiet', `schemathesis==${VERSION}`]);
    mkdirSync(join(place, 'whole.part'));
    renameSync(join(place, 'whole.part'), join(place, 'whole'));
  }
  return program;
}

testNeeding('python3')(
  'no request makes the facade fail, or answer what its document does not say',
  async () => {
    const program = await schemathesis();
    const { token, ...hash } = newToken('fuzz', 'operate');
    const given = await GivenApi.create();
    await givenBackup(given.repository, '2026-11-24T03-15-00Z', [['a']]);
    // Ended ones: the events of one that runs would go on.
    const id = 'backup-prod-20261124T031500Z-4f2a';
    given.operations.set(id, operationOf(id, { state: 'succeeded', result: { backup: 'x' } }));
    const app = createApi(given.deps([hash]));
    const cwd = mkdtempSync(join(tmpdir(), 'homarus-fuzz-'));
    const url = await app.listen({ port: 0, host: '127.0.0.1' });
    try {
      const { stdout } = await run(
        program,
        [
          ...['run', `${url}/openapi.json`, '--url', url, '--header', `Authorization: Bearer ${token}`],
          ...['--phases', 'examples,coverage,fuzzing', '--checks', 'all', '--max-examples', String(EXAMPLES)],
          // What a schema cannot say (a name that is not there, a time that is over) is refused, and rightly.
          ...['--exclude-checks', 'positive_data_acceptance'],
          ...['--seed', String(SEED), '--generation-deterministic', '--continue-on-failure', '--no-color'],
          ...['--suppress-health-check', 'all'],
        ],
        { cwd, maxBuffer: 64 * 1024 * 1024, env: { ...process.env, PYTHONHASHSEED: '0' } },
      ).catch((error: { stdout: string; stderr: string }) => {
        throw new Error(`${error.stdout}\n${error.stderr}`);
      });
      expect(stdout).toMatch(/Tested: +(\d\d)\n/);
      expect(stdout).not.toMatch(/❌/);
      expect(given.logged.filter(({ level }) => level === 'error')).toEqual([]);
      expect(given.started.length).toBeGreaterThan(10);
    } finally {
      await app.close();
      rmSync(cwd, { recursive: true, force: true });
    }
  },
  LONG,
);
