import { log } from '@temporalio/workflow';
import type { Notice } from '../domain/notices.ts';
import { coordinatorSteps, notices } from './activityProxies.ts';
import { messageOf, unwrap } from './failures.ts';

/**
 * Tells everybody whom the configuration names, each with retries of his own for hours. A workflow of its own, so that no
 * operation waits for who does not answer.
 */
export async function notify(_cluster: string, notice: Notice): Promise<{ told: string[]; failed: string[] }> {
  const targets = await coordinatorSteps.noticeTargets({ notice });
  const told: string[] = [];
  const failed: string[] = [];
  await Promise.all(
    targets.map(async (target) => {
      try {
        await notices(target).sendNotice({ target, notice });
        told.push(target);
      } catch (error) {
        failed.push(target);
        log.warn(`${target} was not told of "${notice.message}": ${messageOf(unwrap(error))}`);
      }
    }),
  );
  return { told: told.sort(), failed: failed.sort() };
}
