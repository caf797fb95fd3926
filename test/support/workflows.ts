import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { ReplayWorkerOptions } from '@temporalio/worker';
import type { TestCluster } from './cluster.ts';

/** Workflows that are to replay recorded histories, and what records them. */

const bundles = new Map<string, Promise<ReplayWorkerOptions>>();

/** The workflows as a coordinator with this plugin has them. */
export function workflowsOf(name: string, folder: string | undefined): Promise<ReplayWorkerOptions> {
  const known = bundles.get(name);
  if (known) return known;
  const bundling = (async () => {
    const built = new URL('../../dist/workers/bundle.js', import.meta.url).href;
    const { workflowSource } = (await import(built)) as typeof import('../../src/workers/bundle.ts');
    return workflowSource({ name, folder, options: undefined });
  })();
  bundles.set(name, bundling);
  return bundling;
}

const histories = new URL('../histories/', import.meta.url);
const ourselves = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** With HOMARUS_RECORD=1 the history of an operation becomes `test/histories/<name>.json`, which names no machine. */
export async function record(cluster: TestCluster, id: string, name: string): Promise<void> {
  if (!process.env.HOMARUS_RECORD) return;
  const history = await cluster.client.workflow.getHandle(id).fetchHistory();
  const text = JSON.stringify(JSON.parse(historyToJSON(history)))
    .replaceAll(cluster.directory, '/cluster')
    .replaceAll(ourselves, '/homarus')
    .replaceAll(`@${hostname()}`, '@host');
  const file = new URL(`${name}.json`, histories);
  mkdirSync(new URL('.', file), { recursive: true });
  writeFileSync(file, `${text}\n`);
}
