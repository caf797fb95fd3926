import { isCancellation, log, uuid4, workflowInfo } from '@temporalio/workflow';
import type { PackShare, PacksReceipt, StagedList, VerifyPlan } from '../domain/operations.ts';
import type { VerifyRequest } from '../domain/requests.ts';
import type { Skipped, VerifyResult } from '../domain/results.ts';
import { formatBytes } from '../domain/text.ts';
import { coordinatorSteps, coordinatorWork, onlyReading } from './activityProxies.ts';
import { codeOf, failure, messageOf, timeoutOf } from './failures.ts';
import { Operation } from './operation.ts';

/** How long the lock is waited for when damage is to be noted, unless the request says otherwise, ms. */
const PATIENCE = 600_000;

/**
 * Verifies what the storage holds, spread over the nodes. It reads without a lock; only where it finds damage it takes the
 * storage's part, to make the root say so. Ends as `DamageFound`, with the same result, when anything is damaged.
 */
export async function verify(cluster: string, request: VerifyRequest = {}): Promise<VerifyResult | Skipped> {
  const operation = new Operation('verify', cluster, request, { waitForLock: PATIENCE });
  return operation.ends(async () => {
    const plan = await coordinatorSteps.planVerify({ request });
    operation.knows(plan.settings);
    const work = coordinatorWork(plan.settings.lock);
    const { workflowId } = workflowInfo();
    const packs = await verifyShares(operation, plan, request);
    operation.enter('verify backups');
    const { settings, repository } = plan;
    const result = await work.verifyStored({ storage: settings.storage, repository, operation: workflowId, packs });
    if (result.report === null) return result;
    const notedIn = result.damaged > 0 ? await note(operation, request, result.report) : null;
    throw damageFound({ ...result, notedIn });
  });
}

/** Each node takes one share, and those that answer also take what the others leave. */
async function verifyShares(
  operation: Operation,
  { settings, repository, root }: VerifyPlan,
  request: VerifyRequest,
): Promise<PacksReceipt[]> {
  const { cluster, storage, lock } = settings;
  const shares = settings.nodes.map((_, number): PackShare => ({ number, of: settings.nodes.length }));
  const receipts: PacksReceipt[] = [];
  let nodes = settings.nodes.map(({ id }) => id);
  while (shares.length > 0) {
    const silent = new Set<string>();
    const taken = nodes.map((node) => ({ node, share: shares.shift() })).filter(({ share }) => share !== undefined);
    await operation.eachNode(
      'verify packs',
      taken.map(({ node }) => node),
      async (node) => {
        const share = taken.find((one) => one.node === node)?.share as PackShare;
        const input = {
          operation: workflowInfo().workflowId,
          storageName: storage,
          repository,
          root,
          share,
          readData: request.readData ?? null,
        };
        try {
          const receipt = await onlyReading(cluster, node, lock).verifyPacks(input);
          receipts.push(receipt);
          return receipt;
        } catch (error) {
          if (!neverStarted(error)) throw error;
          silent.add(node);
          shares.push(share);
          return undefined;
        }
      },
      {
        did: (receipt) =>
          receipt && {
            text: `${receipt.packs.toLocaleString('en-US')} packs with ${formatBytes(receipt.bytes)}, ${formatBytes(receipt.readBytes)} of them read`,
            bytes: receipt.readBytes,
          },
      },
    );
    nodes = nodes.filter((node) => !silent.has(node));
    if (silent.size > 0) log.warn(`no worker answers at ${[...silent].join(', ')}: the others verify their shares`);
    if (nodes.length === 0) throw failure('NodeUnavailable', 'no node answers: nobody is there to verify packs');
  }
  return receipts;
}

const neverStarted = (error: unknown): boolean => timeoutOf(error)?.timeoutType === 'SCHEDULE_TO_START';

/** Null when it need not be noted, or could not: that is no reason to keep back what was found. */
async function note(operation: Operation, request: VerifyRequest, report: StagedList): Promise<number | null> {
  try {
    return await operation.attempts(
      (attempt) => ({ attempt, storageName: request.storage, lockStorage: true, nodes: () => [] }),
      async (locked) => {
        operation.enter('note damage');
        if (locked.storage === undefined) throw failure('Internal', 'a verify notes damage without the storage');
        return coordinatorWork(locked.settings.lock).noteDamage({ grant: locked.storage, nonce: uuid4(), report });
      },
    );
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn(`what was found damaged is not noted: ${messageOf(error)}`, { code: codeOf(error) });
    return null;
  }
}

function damageFound(result: VerifyResult): unknown {
  const { damaged, damagedBackups, backups, first } = result;
  const parts = [`damaged objects: ${damaged}`, `backups that miss something: ${damagedBackups} of ${backups}`];
  const named = first.slice(0, 3).map(({ reason }) => reason);
  return failure('DamageFound', `${parts.join(', ')}: ${named.join('; ')}`, undefined, undefined, result);
}
