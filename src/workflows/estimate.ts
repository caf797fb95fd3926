import { log, workflowInfo } from '@temporalio/workflow';
import { nodesWithout } from '../domain/cluster.ts';
import type { EstimatePlan } from '../domain/operations.ts';
import type { BackupRequest } from '../domain/requests.ts';
import type { BackupEstimate, FileCounts, NodeEstimate, Skipped } from '../domain/results.ts';
import { filesOf, formatBytes } from '../domain/text.ts';
import { coordinatorSteps, onlyReading } from './activityProxies.ts';
import { nobodyLooks, timeoutOf } from './failures.ts';
import { Operation } from './operation.ts';

/**
 * What a backup with the same request would read and store, as far as nodes know it without reading a file. It locks and
 * changes nothing; what the plugin adds, such as a dump that it makes first, only a backup learns.
 */
export async function estimate(cluster: string, request: BackupRequest = {}): Promise<BackupEstimate | Skipped> {
  const operation = new Operation('estimate', cluster, request);
  return operation.ends(async () => {
    const plan = await coordinatorSteps.planEstimate({ storage: request.storage });
    const { settings } = plan;
    operation.knows(settings);
    const wanted = nodesWithout(settings.nodes, request.withoutNodes).map(({ id }) => id);
    const nodes = await ask(operation, plan, wanted, request.allowMissing ?? settings.allowMissing);
    const sum = (counts: (node: NodeEstimate) => FileCounts): FileCounts => ({
      files: nodes.reduce((all, node) => all + counts(node).files, 0),
      bytes: nodes.reduce((all, node) => all + counts(node).bytes, 0),
    });
    const answered = new Set(nodes.map(({ node }) => node));
    return {
      nodes,
      missing: settings.nodes.map(({ id }) => id).filter((id) => !answered.has(id)),
      ...sum((node) => node),
      added: sum(({ added }) => added),
      changed: sum(({ changed }) => changed),
      unchanged: sum(({ unchanged }) => unchanged),
      storeAtMost: nodes.reduce((all, node) => all + node.storeAtMost, 0),
      wouldFail: nodes.filter((node) => node.wouldFail).map(({ node }) => node),
      plugin: settings.plugin,
    };
  });
}

/** A node that is not there is left out as long as `spare` are enough, as a backup does it. */
async function ask(
  operation: Operation,
  { settings, repository }: EstimatePlan,
  wanted: readonly string[],
  spare: number,
): Promise<NodeEstimate[]> {
  const { workflowId } = workflowInfo();
  const input = { operation: workflowId, storageName: settings.storage, repository };
  let missing = 0;
  const answers = await operation.eachNode(
    'estimate',
    wanted,
    async (node) => {
      try {
        return await onlyReading(settings.cluster, node, settings.lock).estimateNode(input);
      } catch (error) {
        if (!timeoutOf(error)) throw error;
        if (missing >= Math.min(spare, wanted.length - 1)) throw nobodyLooks(node, error);
        missing++;
        log.warn(`node ${node} does not answer; it is left out`);
        return undefined;
      }
    },
    {
      did: (answer) =>
        answer && { text: `${filesOf(answer)}, ${formatBytes(answer.storeAtMost)} to store at most`, bytes: 0 },
    },
  );
  return answers.filter((answer) => answer !== undefined);
}
