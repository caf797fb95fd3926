import { metricMeter } from '@temporalio/workflow';
import type { Phase } from '../domain/operations.ts';
import type { OperationEnd } from '../domain/results.ts';

/** What workflows count; nothing while they replay. Times in seconds, by the clock of the workflow. */

interface Labels extends Record<string, string> {
  cluster: string;
  operation: string;
}

const seconds = (name: string, description: string) => metricMeter.createHistogram(name, 'float', '', description);

export const counting = {
  ended(labels: Labels, result: OperationEnd, ms: number): void {
    metricMeter.createCounter('homarus_operations', '', 'Operations that ended').add(1, { ...labels, result });
    seconds('homarus_operation_seconds', 'How long operations took').record(ms / 1000, { ...labels, result });
  },
  phase(labels: Labels, phase: Phase, ms: number): void {
    seconds('homarus_phase_seconds', 'How long phases took').record(ms / 1000, { ...labels, phase });
  },
  waited(labels: Labels, ms: number): void {
    seconds('homarus_lock_wait_seconds', 'How long a held lock was waited for').record(ms / 1000, labels);
  },
  lockLost(labels: Labels): void {
    metricMeter.createCounter('homarus_lock_lost', '', 'Locks that were lost under running operations').add(1, labels);
  },
};
