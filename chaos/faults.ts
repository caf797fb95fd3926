import { setTimeout as pause } from 'node:timers/promises';
import type { TestCluster } from '../test/support/cluster.ts';
import type { Asked, Fault as Meets } from '../test/support/storageFront.ts';
import type { Disks } from './disks.ts';
import type { Fault, FaultKind } from './schedule.ts';

/** Undoes a fault; undefined where there is nothing to undo. */
export type Mend = (() => Promise<void>) | undefined;

type Strike = (cluster: TestCluster, fault: Fault, operation: string, disks: Disks) => Promise<Mend>;

/** Of requests that stall, or are carried out late: so many. */
const FEW = 2;

/** As a supervisor does: until it stays. */
async function untilItStays(begin: () => Promise<void>, tries = 60): Promise<void> {
  for (;;) {
    try {
      return await begin();
    } catch (error) {
      if (--tries === 0) throw error;
      await pause(500);
    }
  }
}

/** A process that starts while Temporal is away ends, and is started again. */
export const start = (cluster: TestCluster, name: string): Promise<void> =>
  untilItStays(async () => {
    await cluster.launch(name).catch((error: unknown) => {
      cluster.process(name).kill('SIGKILL');
      throw error;
    });
  });

const lineTo =
  (party: 'Temporal' | 'storage', how: 'refuse' | 'drop'): Strike =>
  async (cluster, { target }) => {
    const line = party === 'Temporal' ? cluster.line(target) : cluster.front.line(target);
    await line.set(how);
    return () => line.set('pass');
  };

const meets =
  (what: Meets, which: (asked: Asked) => boolean = () => true, times?: number): Strike =>
  async (cluster, { target }) => {
    const rule = cluster.front.meet((asked) => asked.from === target && which(asked), what, times);
    return async () => rule.lift();
  };

const ends =
  (...args: string[]): Strike =>
  async (cluster, _, operation) => {
    // It may have ended meanwhile, and Temporal may be away.
    await cluster.temporalCli('workflow', ...args, '--workflow-id', operation).catch(() => undefined);
    return undefined;
  };

/** How each fault is done; `rival` is an operation, and those are not begun here. */
export const strikes: Record<Exclude<FaultKind, 'rival'>, Strike> = {
  async kill(cluster, { target }) {
    await cluster.kill(target);
    return () => start(cluster, target);
  },
  async restart(cluster, { target }) {
    const ended = cluster.shutDown(target);
    return async () => {
      await ended;
      await start(cluster, target);
    };
  },
  async stop(cluster, { target }) {
    const stopped = cluster.process(target);
    stopped.kill('SIGSTOP');
    return async () => stopped.kill('SIGCONT');
  },
  async 'temporal killed'(cluster) {
    await cluster.killTemporal();
    // Who asks for a port where nobody listens may get that very port for himself, until he gives up.
    return () => untilItStays(() => cluster.startTemporalAgain());
  },
  'temporal refused': lineTo('Temporal', 'refuse'),
  'temporal dropped': lineTo('Temporal', 'drop'),
  async 'storage killed'(cluster) {
    cluster.s3.kill('SIGKILL');
    await cluster.s3.exited;
    return () => untilItStays(() => cluster.startS3Again());
  },
  'storage refused': lineTo('storage', 'refuse'),
  'storage dropped': lineTo('storage', 'drop'),
  'answers 500': meets(500),
  'answers 503': meets(503),
  'answers 429': meets(429),
  stalls: meets('stall', undefined, FEW),
  late: meets('late', ({ verb }) => verb === 'PUT', FEW),
  async full(_, { target }, __, disks) {
    const giveBack = disks.fill(target);
    return async () => giveBack();
  },
  cancel: ends('cancel'),
  terminate: ends('terminate', '--reason', 'chaos'),
  reset: ends('reset', '--type', 'LastWorkflowTask', '--reason', 'chaos'),
};
