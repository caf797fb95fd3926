import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';

/** Histories of real operations (test/integration/lockLost.test.ts records them) must replay on the workflows of today. */
const directory = new URL('../histories/', import.meta.url);
const bundle = new URL('../../dist/workflows.bundle.js', import.meta.url);
const recorded = readdirSync(directory).filter((name) => name.endsWith('.json'));

Runtime.install({ logger: new DefaultLogger('ERROR') });

const historyOf = (name: string): { events: { eventType: string }[] } =>
  JSON.parse(readFileSync(new URL(name, directory), 'utf8'));

describe('the recorded history', () => {
  test.each(recorded)('%s replays', async (name) => {
    await Worker.runReplayHistory({ workflowBundle: { codePath: bundle.pathname } }, historyOf(name));
  });
});

test('each workflow, and each way to end, has one', () => {
  for (const kind of ['backup', 'restore', 'cleanup', 'lock', 'verify']) expect(recorded.join()).toContain(`${kind}-`);
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
