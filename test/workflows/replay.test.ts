import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { workflowsOf } from '../support/workflows.ts';

/**
 * Histories of real operations must replay on the workflows of today. test/integration/lockLost.test.ts records those of the
 * workflows, pluginContract*.test.ts those of each plugin, in a directory of its name.
 */
const directory = new URL('../histories/', import.meta.url);
const bundle = new URL('../../dist/workflows.bundle.js', import.meta.url);
const recorded = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.json'));
/** Plugins from outside are bundled with the workflows. */
const outside: Record<string, string> = { ledger: new URL('../../examples/plugin', import.meta.url).pathname };

Runtime.install({ logger: new DefaultLogger('ERROR') });

const historyOf = (name: string): { events: { eventType: string }[] } =>
  JSON.parse(readFileSync(new URL(name, directory), 'utf8'));

describe('the recorded history', () => {
  test.each(recorded)('%s replays', async (name) => {
    const [plugin = ''] = name.split('/');
    await Worker.runReplayHistory(await workflowsOf(plugin, outside[plugin]), historyOf(name));
  });
});

test('each plugin has one of each way to end', () => {
  const plugins = new Set(recorded.filter((name) => name.includes('/')).map((name) => name.split('/')[0]));
  expect([...plugins]).toEqual(expect.arrayContaining(['files', 'commands', 'etcd', 'm3', 'ledger']));
  for (const plugin of plugins) {
    for (const end of [
      'backup-succeeded',
      'backup-failed',
      'backup-cancelled',
      'backup-lock-lost',
      'restore-succeeded',
    ]) {
      expect(recorded).toContain(`${plugin}/${end}.json`);
    }
  }
});

test('each workflow, and each way to end, has one', () => {
  for (const kind of ['backup', 'estimate', 'restore', 'preview', 'drill', 'cleanup', 'lock', 'verify'])
    expect(recorded.join()).toContain(`${kind}-`);
  for (const end of ['succeeded', 'failed', 'cancelled', 'lock-lost', 'damaged'])
    expect(recorded.join()).toContain(`-${end}`);
});

test('a workflow that does other things than recorded is found out', async () => {
  const history = historyOf('backup-succeeded.json');
  const first = history.events.find(({ eventType }) => eventType === 'EVENT_TYPE_ACTIVITY_TASK_SCHEDULED') as {
    activityTaskScheduledEventAttributes?: { activityType: { name: string } };
  };
  first.activityTaskScheduledEventAttributes = {
    ...first.activityTaskScheduledEventAttributes,
    activityType: { name: 'somethingElse' },
  };
  await expect(
    Worker.runReplayHistory({ workflowBundle: { codePath: bundle.pathname } }, history),
  ).rejects.toMatchObject({ name: 'DeterminismViolationError' });
});
