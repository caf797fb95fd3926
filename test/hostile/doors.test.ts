import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { createControlActivities } from '../../src/activities/control.ts';
import { createCoordinatorActivities } from '../../src/activities/coordinator.ts';
import { atTheDoor, inputs } from '../../src/activities/inputs.ts';
import { createNodeActivities } from '../../src/activities/node.ts';
import { time } from '../../src/cli/options.ts';
import { parseConfig } from '../../src/config.ts';
import type { RootDocument } from '../../src/domain/documents.ts';
import { padded } from '../../src/domain/documents.ts';
import { HomarusError } from '../../src/domain/errors.ts';
import { faultOf, type RequestKind } from '../../src/domain/requestShapes.ts';
import { restoreTrees } from '../../src/node/restorer.ts';
import { compileSelection } from '../../src/node/select.ts';
import { attemptName } from '../../src/node/workDirectory.ts';
import { createRepository } from '../../src/storage/create.ts';
import { checkKey } from '../../src/storage/objectStore.ts';
import { findBackup } from '../../src/storage/planRestore.ts';
import type { Row } from '../../src/storage/tree.ts';
import { comparePaths } from '../../src/storage/tree.ts';
import { backupOf } from '../storage/given.ts';
import { ScriptedStore } from '../storage/scripted.ts';
import { givenContext } from '../support/jobs.ts';
import { smallParameters, storeTree } from '../support/storeTree.ts';
import { mutantsOf, RESTORES, TRIES } from './mutants.ts';

/** What people, queues and trees say: it is done as meant, or refused by name. */

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom(
    '..',
    '../..',
    '/etc/passwd',
    'latest',
    '',
    '\0',
    '__proto__',
    'constructor',
    '\u001b[31m',
    'a'.repeat(5_000),
  ),
);

describe('a configuration', () => {
  const refused = (content: string): void => {
    try {
      parseConfig(content, 'homarus.yaml');
    } catch (error) {
      expect(error).toBeInstanceOf(HomarusError);
      expect(error).toMatchObject({ code: 'ConfigInvalid', message: expect.stringMatching(/^homarus\.yaml has /) });
    }
  };

  test('of any text is read or refused', () => {
    fc.assert(fc.property(fc.oneof(anyText, fc.lorem(), fc.json()), refused), { numRuns: TRIES });
  });

  test('with anything in any of its fields is read or refused', () => {
    const document = parse(readFileSync(new URL('../../examples/s3.yaml', import.meta.url), 'utf8')) as unknown;
    refused(JSON.stringify(document));
    fc.assert(
      fc.property(mutantsOf(document), (mutant) => refused(JSON.stringify(mutant))),
      { numRuns: TRIES },
    );
  });
});

test('a backup that nobody has is not found, whatever its name', () => {
  const root = {
    cluster: 'east',
    backups: [backupOf('2025-01-01T00-00-00Z', 1)],
  } as Partial<RootDocument> as RootDocument;
  fc.assert(
    fc.property(anyText, anyText, (name, before) => {
      for (const look of [() => findBackup(root, name), () => findBackup(root, 'latest', { before })]) {
        try {
          expect(look().name).toBe('2025-01-01T00-00-00Z');
        } catch (error) {
          expect(['BackupNotFound', 'BadInput']).toContain((error as HomarusError).code);
        }
      }
      try {
        expect(time(before)).toMatch(/^[+-]?\d{4,6}-/);
      } catch (error) {
        expect((error as Error).message).toMatch(/^Give a time such as/);
      }
      try {
        compileSelection({ include: [name], exclude: [before] });
      } catch (error) {
        expect((error as HomarusError).code).toBe('BadInput');
      }
    }),
    { numRuns: TRIES },
  );
});

describe('what an operation is asked', () => {
  const common = { storage: 'main', by: 'me', waitForLock: 1_000, skipIfLocked: true };
  const backup = { ...common, label: 'l', withoutNodes: ['n1'], allowMissing: 1 };
  const restore = {
    ...{ ...common, backup: 'latest', before: '2025-01-01', nodes: ['n1'], paths: ['*'], to: '/tmp' },
    ...{ verifyExisting: true, map: [{ from: 'a', to: 'b' }], check: true },
  };
  const good: Record<RequestKind, object> = {
    ...{ backup, estimate: backup, restore, preview: restore },
    drill: { ...common, backup: 'b', percent: 5, node: 'n1', directory: '/tmp', check: true },
    cleanup: {
      ...{ ...common, retention: { keepLast: 1, minimumBackups: 1, maximumBackups: 9, keepDays: 1 } },
      ...{ backups: ['b'], orphans: true, rewrite: { maxUnused: 0.1, maxRepackBytes: null } },
    },
    verify: { ...common, readData: { percent: 5 } },
    lock: { ...common, for: 1_000 },
  };

  test.each(Object.keys(good) as RequestKind[])('a request for %s is what its type says', (kind) => {
    expect(faultOf(kind, 'east', good[kind])).toBeUndefined();
  });

  test('that is anything else is refused by the name of the field before anything is done', () => {
    let through = 0;
    fc.assert(
      fc.property(
        fc
          .constantFrom(...(Object.keys(good) as RequestKind[]))
          .chain((kind) => fc.tuple(fc.constant(kind), mutantsOf(['east', good[kind]]))),
        ([kind, mutant]) => {
          const [cluster, request] = Array.isArray(mutant) ? mutant : [mutant];
          const fault = faultOf(kind, cluster, request);
          if (fault !== undefined) return expect(fault).toMatch(/^(cluster|request\S*) is not /);
          // What workflows use without asking anybody.
          const asked = request as Record<string, unknown>;
          expect(String(cluster)).not.toMatch(/^$|\/|^\./);
          for (const list of ['withoutNodes', 'nodes', 'paths', 'map'])
            expect(Array.isArray(asked[list] ?? [])).toBe(true);
          expect(['string', 'undefined']).toContain(typeof asked.storage);
          expect(['number', 'undefined']).toContain(typeof asked.waitForLock);
          through++;
        },
      ),
      { numRuns: TRIES },
    );
    expect(through).toBeGreaterThan(0);
  });
});

describe('the input of an activity', () => {
  const attempt = {
    operation: 'backup-east-1',
    run: 'r/1',
    kind: 'backup',
    by: 'me',
    since: '2025-01-01T00:00:00.000Z',
  };
  const storage = { attempt, storage: 'main', repository: 'ab', epoch: 1, root: 2, ttl: 1 };
  const grant = { attempt, node: 'n1', grant: 1, host: 'h', incarnation: 'i', ttl: 1 };
  const list = { key: `staging/${padded(1)}-backup-east-1/n1/chunks-01`, segments: 1, records: 1, hash: 'ab' };
  const document = { key: list.key, length: 1, hash: 'ab' };
  const packs = { packs: 1, bytes: 1, readPacks: 0, readBytes: 0, damaged: 0 };
  const totals = { entries: 1, files: 1, bytes: 1 };
  const snapshot = { node: 'n1', chunks: list, snapshot: document, totals, skipped: 0, vanished: 0 };
  const id = `${padded(1)}-${'a'.repeat(16)}`;
  const work = { storageName: 'main', repository: 'ab', backup: { ...backupOf('b', 1), id } };
  const notice = { event: 'failed', cluster: 'east', message: 'm', at: '2025-01-01T00:00:00.000Z' };
  const drilled = {
    ...{ operation: 'drill-1', ok: true, percent: 10, files: 1, bytes: 1, fetchedBytes: 1 },
    ...{ tookMs: 1, expectedMs: 1, checked: false },
  };
  const good: Record<string, unknown> = {
    acquireStorage: { attempt, nonce: 'x' },
    keepStorage: storage,
    releaseStorage: { attempt, epoch: 1, nonce: 'x' },
    planBackup: { grant: storage, snapshots: [snapshot] },
    commitBackup: {
      ...{ grant: storage, id, nonce: 'x', label: '', attempt: 1, started: '', snapshots: [snapshot], missing: ['n2'] },
      uploads: [{ node: 'n1', entries: list, packs: document, bytes: 1, stored: 1 }],
      ...{ streams: [{ name: 's', chunks: document, upload: null }], requires: ['b'], orphans: null },
      ...{ plugin: { name: 'files', version: 1, data: null } },
    },
    planRestore: { request: { backup: 'latest', nodes: ['n1'], paths: ['*'], to: '/tmp' } },
    clusterSettings: {},
    planEstimate: { storage: 'main' },
    noticeTargets: { notice },
    sendNotice: { target: 'pager', notice },
    planDrill: { request: { percent: 10, node: 'n1', directory: '/tmp' } },
    drillPace: { storage: 'main', repository: 'ab' },
    recordDrill: { storage: 'main', repository: 'ab', backup: 'b', by: 'me', drill: drilled },
    cleanUp: { grant: storage, nonce: 'x', request: { retention: { keepLast: 1 }, backups: ['b'] } },
    planVerify: { request: { readData: { percent: 5 } } },
    verifyStored: { storage: 'main', repository: 'ab', operation: 'verify-1', packs: [{ ...packs, list }] },
    noteDamage: { grant: storage, nonce: 'x', report: { ...list, key: 'reports/verify-1/report-01' } },
    verifyPacks: {
      ...{ storageName: 'main', repository: 'ab', operation: 'verify-1', root: 1, share: { number: 0, of: 1 } },
      readData: null,
    },
    acquireNode: { attempt, ttl: 1, plugin: { name: 'files', version: 1 } },
    keepNode: grant,
    releaseNode: { attempt, committed: { repository: 'ab', backup: id } },
    snapshotNode: { grant, storage },
    estimateNode: { operation: 'estimate-1', storageName: 'main', repository: 'ab' },
    uploadNode: { grant, storage, wanted: list },
    restoreNode: { grant, storage: null, ...work, from: 'n1', paths: ['*'], to: '/tmp', verifyExisting: false },
    previewNode: { operation: 'preview-1', ...work, from: 'n1', paths: [], to: null, verifyExisting: true },
    drillNode: { grant, ...work, froms: ['n1'], directory: '/tmp', sample: { percent: 10, seed: 1 } },
    endDrill: { grant },
  };
  const activities = [createCoordinatorActivities, createNodeActivities, createControlActivities].flatMap((create) =>
    Object.keys(create({ liveness: {}, plugin: { activities: () => ({}) } } as never)),
  );

  test.each(activities)('%s has a shape, and one example of it', (name) => {
    expect(inputs[name]?.(good[name], '')).toBeUndefined();
  });

  test('that is anything else is refused by the name of the field before anything is done with it', async () => {
    const seen: unknown[] = [];
    const door = atTheDoor(
      Object.fromEntries(Object.keys(inputs).map((name) => [name, async (input: unknown) => void seen.push(input)])),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(good)).chain((name) => fc.tuple(fc.constant(name), mutantsOf(good[name]))),
        async ([name, mutant]) => {
          seen.length = 0;
          try {
            await door[name]!(mutant);
          } catch (error) {
            expect(error).toMatchObject({ type: 'BadInput', nonRetryable: true });
            expect((error as Error).message).toMatch(new RegExp(`^input of ${name}: \\S+ is not `));
            expect(seen).toEqual([]);
            return;
          }
          // What came through is a part of keys and paths, and leads nowhere.
          const input = mutant as { grant?: typeof grant; storage?: typeof storage; wanted?: typeof list };
          const { operation } = input.grant?.attempt ?? attempt;
          expect(attemptName({ operation, epoch: 1 })).toBe(`1-${operation}`);
          if (name === 'uploadNode') checkKey(input.wanted?.key as string);
        },
      ),
      { numRuns: TRIES },
    );
  });
});

describe('a tree', () => {
  let jobs: ReturnType<typeof givenContext>;
  let base: string;
  beforeAll(() => {
    jobs = givenContext();
    base = mkdtempSync(join(tmpdir(), 'homarus-hostile-'));
  });
  afterAll(async () => {
    await jobs.close();
    rmSync(base, { recursive: true, force: true });
  });

  test('whatever it names, and whatever is planted in the root, writes nothing outside of it', async () => {
    const outside = join(base, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'precious'), 'as it was');
    const { repository } = await createRepository(new ScriptedStore(), { cluster: 'east', ...smallParameters });
    const original = join(base, 'original');
    mkdirSync(original);
    const path = fc
      .array(fc.constantFrom('a', 'b', 'precious', '..', '.', '', 'c\0'), { minLength: 1, maxLength: 3 })
      .map((parts) => parts.join('/'));
    const entry = fc.record({
      path: fc.oneof(
        { weight: 3, arbitrary: path.filter((one) => !/\.|\/\/|^\/|\/$|\0/.test(one) && one !== '') },
        path,
      ),
      type: fc.constantFrom('file', 'directory', 'symlink', 'hardlink'),
      target: fc.constantFrom(outside, join(outside, 'precious'), '../outside', '../outside/precious', 'a', '..'),
    });
    const plants = fc.array(fc.constantFrom('a', 'b', 'precious', '.homarus'), { maxLength: 2 });
    let number = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 5 }), plants, async (entries, planted) => {
        const target = join(base, `target-${number++}`);
        mkdirSync(target);
        for (const name of new Set(planted)) symlinkSync(outside, join(target, name));
        const common = { size: 0, mtime: 1n, mode: 0o700, uid: 0, gid: 0 };
        const rows = [...new Map(entries.map((one) => [one.path, one])).values()]
          .map(({ path: at, type, target: to }): Row => {
            if (type === 'file') return { path: at, type, ...common, size: 4, content: Buffer.from('evil') };
            return type === 'directory' ? { path: at, type, ...common } : { path: at, type, ...common, target: to };
          })
          .sort((a, b) => comparePaths(a.path, b.path));
        const stored = await storeTree(repository, original, { epoch: number, change: (top) => [top[0]!, ...rows] });
        const everything = { file: () => true, directory: () => true };
        try {
          await restoreTrees(
            repository,
            { indexes: [stored.index], damaged: [] },
            {
              roots: [{ path: target, linkDir: join(target, '.homarus'), tree: stored.tree }],
              ...{ select: everything, bases: [''], verifyExisting: false, operation: 'restore-1' },
              workDirectory: join(base, 'work'),
            },
            jobs.context,
          );
        } catch (error) {
          expect(error).toBeInstanceOf(HomarusError);
          expect(['UnsafePath', 'ObjectDamaged', 'FileUnwritable']).toContain((error as HomarusError).code);
        }
        expect(readdirSync(base).filter((name) => !/^(outside|original|target-\d+|work)$/.test(name))).toEqual([]);
        expect(readdirSync(outside)).toEqual(['precious']);
        expect(readFileSync(join(outside, 'precious'), 'utf8')).toBe('as it was');
        rmSync(target, { recursive: true, force: true });
      }),
      { numRuns: RESTORES },
    );
  }, 600_000);
});
