import type { ApiDeps, TemporalDoor } from '../../src/api/deps.ts';
import type { TokenHash } from '../../src/api/tokens.ts';
import type { OperationStatus } from '../../src/client/progress.ts';
import { SharedReading } from '../../src/client/sharedReading.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import type { Repository } from '../../src/storage/repository.ts';
import { givenRepository } from '../storage/given.ts';

/** The facade over a repository in memory and a Temporal that is told what to answer. */
export class GivenApi {
  readonly started: { name: string; request: Record<string, unknown>; key: string | undefined }[] = [];
  readonly asked: string[] = [];
  readonly logged: { level: string; message: string; [field: string]: unknown }[] = [];
  readonly operations = new Map<string, OperationStatus>();
  /** Temporal is away for as long as it is set. */
  away: Error | undefined;
  /** Id of what is started, instead of a short one. */
  startedAs: string | undefined;
  /** Why an operation does not get its lock. */
  refused: HomarusError | undefined;
  readonly repository: Repository;

  private constructor(repository: Repository) {
    this.repository = repository;
  }

  static async create(): Promise<GivenApi> {
    return new GivenApi((await givenRepository()).repository);
  }

  deps(tokens: readonly TokenHash[] = []): ApiDeps {
    const main = new SharedReading(async () => this.repository);
    return {
      cluster: 'east',
      nodes: ['n1', 'n2', 'n3'].map((id) => ({ id, az: '' })),
      storages: ['main'],
      defaultStorage: 'main',
      retention: { keepLast: 1 },
      alertAfter: 1_000,
      temporalUi: null,
      tokens,
      metrics: async () => 'homarus_backups 1\n',
      storage: {
        async look(storage) {
          if (storage !== undefined && storage !== 'main')
            throw new HomarusError('BadInput', `storage: there is no "${storage}" in the configuration; it has main`);
          return main.look();
        },
      },
      temporal: this.#temporal(),
      log: (level, message, fields) => void this.logged.push({ level, message, ...fields }),
    };
  }

  #temporal(): TemporalDoor {
    const there = async (): Promise<void> => {
      if (this.away) throw this.away;
    };
    const known = (id: string): OperationStatus => {
      const operation = this.operations.get(id);
      if (operation) return operation;
      throw new HomarusError('OperationNotFound', `Temporal knows no operation ${id}`);
    };
    return {
      check: there,
      start: async (name, request, key) => {
        await there();
        this.started.push({ name, request: { ...request }, key });
        return this.startedAs ?? `${name}-east-${key ?? 'x'}`;
      },
      startLocked: async (name, request) => {
        await there();
        this.started.push({ name, request: { ...request }, key: undefined });
        return { operation: `${name}-east-20261124T031500Z-4f2a`, error: this.refused ?? null };
      },
      status: async (id) => {
        await there();
        return known(id);
      },
      list: async () => {
        await there();
        return [...this.operations.values()].map(({ id, kind, state, started, ended, by }) => ({
          ...{ id, kind, state, started, ended, by },
        }));
      },
      cancel: async (id) => {
        await there();
        known(id);
        this.asked.push(`cancel ${id}`);
      },
      unlock: async (id) => {
        await there();
        known(id);
        this.asked.push(`unlock ${id}`);
      },
      nodes: async () => {
        await there();
        return [{ node: 'n1', az: '', alive: true, lastSeen: null, worker: null, version: null }];
      },
      schedules: async () => {
        await there();
        return [
          {
            ...{ name: 'nightly', operation: 'backup', when: '0 3 * * * (UTC)', paused: false, note: '' },
            ...{ next: null, last: null, running: [], missed: 0, overlapped: 0 },
          },
        ];
      },
      pause: async (name, note) => void this.asked.push(`pause ${name}: ${note}`),
      resume: async (name, note) => void this.asked.push(`resume ${name}: ${note}`),
      trigger: async (name) => {
        if (name !== 'nightly') throw new HomarusError('ScheduleNotFound', `there is no schedule ${name}`);
        return 'backup-east-nightly';
      },
      coordinators: async () => {
        await there();
        return 1;
      },
    };
  }
}

export const operationOf = (id: string, more: Partial<OperationStatus> = {}): OperationStatus => ({
  id,
  kind: 'backup',
  state: 'running',
  started: '2026-11-24T03:15:00.000Z',
  ended: null,
  by: 'cron',
  progress: null,
  result: null,
  error: null,
  ...more,
});
