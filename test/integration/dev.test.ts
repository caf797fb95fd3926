import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { freePort } from '../../src/servers.ts';
import { comes, ends } from '../support/patience.ts';

const LONG = 120_000;
const program = new URL('../../dist/cli/main.js', import.meta.url).pathname;

test(
  'dev runs a cluster whose facade links into the UI of its own Temporal, and ends whole',
  async () => {
    const base = mkdtempSync(join(tmpdir(), 'homarus-dev-'));
    const configFile = join(base, 'homarus.json');
    const port = await freePort();
    const config = {
      cluster: 'east',
      storages: { main: { type: 'files', path: join(base, 'storage') } },
      nodes: [{ id: 'n1', root: join(base, 'n1') }],
      ...{ dataDir: join(base, 'data'), api: { port } },
    };
    mkdirSync(join(base, 'storage'));
    writeFileSync(configFile, JSON.stringify(config));
    execFileSync(process.execPath, [program, 'init', '--config', configFile]);
    const child = spawn(process.execPath, [program, 'dev', '--config', configFile], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const exited = ends(
      () => `dev to end; it said ${said}`,
      once(child, 'exit'),
      () => child.kill('SIGKILL'),
    );
    try {
      await comes(
        () => `dev to serve; it said ${said}`,
        () => said.includes('Ctrl-C stops it all') || child.exitCode !== null || undefined,
      );
      const answer = await fetch(`http://127.0.0.1:${port}/v1/cluster`);
      const { temporalUi } = (await answer.json()) as { temporalUi: string };
      expect(temporalUi).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows$/);
      expect(said).toContain(new URL(temporalUi).origin);
      expect(await (await fetch(temporalUi)).text()).toMatch(/<html/);
    } finally {
      child.kill('SIGINT');
      await exited;
      rmSync(base, { recursive: true, force: true });
    }
    expect(await exited).toEqual([0, null]);
  },
  LONG,
);
