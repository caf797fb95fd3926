import { TemporalFailure, workflowInfo } from '@temporalio/workflow';
import { HomarusError } from '../domain/errors.ts';
import type { RestorePlan } from '../domain/operations.ts';
import type { RestoreRequest } from '../domain/requests.ts';
import type { RestoreForecast, RestorePreview, Skipped } from '../domain/results.ts';
import { filesOf, formatBytes } from '../domain/text.ts';
import type { Flow } from '../plugins/plugin.ts';
import { coordinatorSteps, onlyReading } from './activityProxies.ts';
import { failure, messageOf, nobodyLooks, timeoutOf } from './failures.ts';
import { Operation } from './operation.ts';
import { callsOf, flowFor, restoredOf, workOf } from './restore.ts';

/**
 * What a restore with the same request would do. It locks nothing and changes nothing, so a node may differ again when the
 * restore comes; which backup it takes, and who takes whose files, is as it was shown when the answer's pairs are asked for.
 */
export async function preview(cluster: string, request: RestoreRequest): Promise<RestorePreview | Skipped> {
  const operation = new Operation('preview', cluster, request);
  return operation.ends(async () => {
    const plan = await coordinatorSteps.planRestore({ request });
    const { backup, pairs, missing } = plan;
    operation.names(backup.name);
    const flow = flowFor(plan, request);
    const nodes = await compare(operation, plan, request);
    const ofPlugin = await previewOf(operation, plan, request, flow);
    const pace = await coordinatorSteps.drillPace({ storage: plan.settings.storage, repository: plan.repository });
    const sum = (count: 'files' | 'bytes' | 'kept' | 'keptBytes' | 'fetchBytes' | 'removed'): number =>
      nodes.reduce((all, node) => all + node[count], 0);
    return {
      ...{ backup: backup.name, pairs, missing, nodes },
      ...{ files: sum('files'), bytes: sum('bytes'), kept: sum('kept') },
      ...{ fetchBytes: sum('fetchBytes'), removed: sum('removed') },
      expectedMs:
        pace && pace.bytes > 0 ? Math.round((pace.expectedMs * (sum('bytes') - sum('keptBytes'))) / pace.bytes) : null,
      fits: nodes.every(({ space }) => space.every(({ needed, freed, available }) => needed - freed <= available)),
      ...(ofPlugin === undefined || ofPlugin === null ? {} : { plugin: ofPlugin }),
    };
  });
}

function compare(operation: Operation, plan: RestorePlan, request: RestoreRequest): Promise<RestoreForecast[]> {
  const { settings, pairs } = plan;
  const { workflowId } = workflowInfo();
  return operation.eachNode(
    'compare',
    pairs.map(({ to }) => to),
    async (node) => {
      try {
        const work = workOf(plan, request, node);
        return await onlyReading(settings.cluster, node, settings.lock).previewNode({ operation: workflowId, ...work });
      } catch (error) {
        throw timeoutOf(error) ? nobodyLooks(node, error) : error;
      }
    },
    { did: (seen) => ({ text: `${filesOf(seen)}, ${formatBytes(seen.fetchBytes)} to fetch`, bytes: 0 }) },
  );
}

/** No node is locked, so the plugin's activities on nodes are not for it. */
async function previewOf(
  operation: Operation,
  plan: RestorePlan,
  request: RestoreRequest,
  flow: Flow,
): Promise<unknown> {
  if (flow.preview === undefined) return undefined;
  const { workflowId, runId } = workflowInfo();
  const attempt = { operation: workflowId, run: runId, kind: operation.kind, by: request.by ?? '', since: '' };
  const locked = { attempt, settings: plan.settings, storage: undefined, nodes: [] };
  try {
    return await flow.preview(restoredOf(flow, locked, plan, request), callsOf(flow, operation, locked, plan));
  } catch (error) {
    if (error instanceof TemporalFailure || error instanceof HomarusError) throw error;
    throw failure('PluginFailed', `plugin ${flow.name}: ${messageOf(error)}`, error);
  }
}
