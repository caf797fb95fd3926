import { mkdirSync } from 'node:fs';
import { reportLine } from '../../src/domain/documentShapes.ts';
import type { ReadData } from '../../src/domain/requests.ts';
import type { VerifyResult } from '../../src/domain/results.ts';
import type { JobContext } from '../../src/node/job.ts';
import { verifyPacks } from '../../src/node/verifyPacks.ts';
import { acquireLock, releaseLock } from '../../src/storage/lock.ts';
import { noteDamage } from '../../src/storage/noteDamage.ts';
import { readReport } from '../../src/storage/report.ts';
import type { Repository } from '../../src/storage/repository.ts';
import type { ReportLine } from '../../src/storage/verify.ts';
import { verifyStored } from '../../src/storage/verify.ts';
import { rootToVerify } from '../../src/storage/verifyObjects.ts';

let operations = 0;

export interface Verified {
  result: VerifyResult;
  report: ReportLine[];
  /** Keys of what is damaged. */
  damaged: string[];
}

export interface VerifyOptions {
  /** For temporary files. */
  directory: string;
  readData?: ReadData;
  /** How many share the packs. */
  shares?: number;
}

/** A whole verify as the workflow does it, in this process and without Temporal; it notes nothing. */
export async function verify(
  repository: Repository,
  context: JobContext,
  { directory, readData, shares = 1 }: VerifyOptions,
): Promise<Verified> {
  const operation = `verify-${++operations}`;
  mkdirSync(directory, { recursive: true });
  const { root } = await rootToVerify(repository);
  const packs = [];
  for (let number = 0; number < shares; number++) {
    const input = { operation, root: root.number, share: { number, of: shares }, readData: readData ?? null };
    packs.push(await verifyPacks(repository, input, context));
  }
  const result = await verifyStored(repository, { operation, packs }, { directory });
  const report: ReportLine[] = [];
  if (result.report)
    for await (const line of readReport<ReportLine>(repository, result.report, reportLine)) report.push(line);
  return { result, report, damaged: report.flatMap((line) => (line.type === 'damage' ? [line.key] : [])) };
}

/** Takes the lock and notes what a verify found; answers the number of the root that says so. */
export async function note(repository: Repository, { result }: Verified): Promise<number | null> {
  const operation = `note-${++operations}`;
  const since = new Date().toISOString();
  const attempt = { operation, run: `${operation}/1`, kind: 'verify', by: 'test', since } as const;
  const { at, epoch } = await acquireLock(repository, { ...attempt, ttl: 60_000 }, { nonce: `${operation}-lock` });
  const { id } = repository.parameters;
  const grant = { attempt, storage: 'main', repository: id, epoch, root: at.root.number, ttl: 60_000 };
  try {
    return await noteDamage(repository, { grant, nonce: `${operation}-commit`, report: result.report! });
  } finally {
    await releaseLock(repository, epoch, `${operation}-release`);
  }
}
