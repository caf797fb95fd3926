import { HomarusError, hasCode } from '../domain/errors.ts';
import type { AttemptId, NodeGrant, PluginVersion } from '../domain/operations.ts';
import type { NodeLease } from '../node/lease.ts';
import type { Log } from '../telemetry.ts';
import { toFailure } from './boundary.ts';
import { atTheDoor } from './inputs.ts';
import type { Liveness } from './liveness.ts';
import { refuseOtherMachine } from './node.ts';
import { pause, toldToEnd } from './pause.ts';

/** What the node's own part of the lock needs. */
export interface ControlDeps {
  readonly node: string;
  readonly host: string;
  readonly incarnation: string;
  readonly lease: NodeLease;
  /** What this process was started with. */
  readonly plugin: PluginVersion;
  readonly liveness: Liveness;
  /** `NodeTaken` when another machine serves the node, too. */
  refuseRivals(): Promise<void>;
  /** Between refreshes, ms. */
  readonly refreshMs: number;
  /** Ends what the attempt left on the node: links, lists; makes its snapshot the retained state if committed. */
  finish(attempt: AttemptId, committed: Committed | null): Promise<void>;
  log: Log;
}

export interface Committed {
  repository: string;
  backup: string;
}

export type ControlActivities = ReturnType<typeof createControlActivities>;

/** On a node's own small queue, so that a busy node still answers. */
export function createControlActivities(deps: ControlDeps) {
  return atTheDoor({
    /** `plugin`: what the work needs here; null: nothing. `PluginMismatch` when this process has another. */
    async acquireNode(input: { attempt: AttemptId; ttl: number; plugin: PluginVersion | null }): Promise<NodeGrant> {
      const { node, host, incarnation, lease } = deps;
      const { attempt, ttl } = input;
      try {
        await deps.refuseRivals();
        if (input.plugin) refuseOther(node, deps.plugin, input.plugin);
        return { attempt, node, grant: await lease.acquire(attempt, ttl), host, incarnation, ttl };
      } catch (error) {
        throw toFailure(error);
      }
    },

    /** Refreshes the lease until it is told to end; `LockLost` when the lease ran out or was passed on. */
    async keepNode(grant: NodeGrant): Promise<void> {
      await deps.liveness.run(
        () => ({}),
        async (signal) => {
          refuseOtherMachine(grant, deps);
          for (;;) {
            try {
              if (deps.lease.refresh(grant) === 'released') await toldToEnd(signal);
            } catch (error) {
              // There may be space again before the lease runs out; then that is what is said.
              if (!hasCode(error, 'NoSpace')) throw error;
              deps.log('warn', `the lease of node ${deps.node} was not refreshed: ${(error as Error).message}`);
            }
            await pause(deps.refreshMs, signal);
          }
        },
      );
    },

    /** Stops what still works under the attempt, cleans up after it, and frees the node. */
    async releaseNode({ attempt, committed }: { attempt: AttemptId; committed: Committed | null }): Promise<void> {
      await deps.liveness.run(
        () => ({}),
        async () => {
          const { holder } = deps.lease;
          // A late release of an earlier attempt: what stands there is the next one's.
          if (holder?.operation === attempt.operation && holder.run !== attempt.run) return;
          if (holder?.run === attempt.run) await deps.lease.stopWork(attempt);
          try {
            await deps.finish(attempt, committed);
          } catch (error) {
            // What it left costs space until the next snapshot; a node that stayed locked would cost a backup.
            deps.log('warn', `what ${attempt.operation} left on the node was not removed: ${(error as Error).message}`);
          }
          await deps.lease.release(attempt);
        },
      );
    },
  });
}

function refuseOther(node: string, has: PluginVersion, wanted: PluginVersion): void {
  if (has.name === wanted.name && has.version === wanted.version) return;
  throw new HomarusError(
    'PluginMismatch',
    `node ${node} runs plugin "${has.name}" in version ${has.version}, the coordinator "${wanted.name}" in version ${wanted.version}`,
  );
}
