import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { startS3 } from '../../src/servers.ts';
import type { Case, Figure } from '../bench.ts';
import { smallFiles } from '../data.ts';
import { atMost, fasterThan, figureOf } from '../report.ts';
import { slowServer } from '../slowServer.ts';
import { restores } from './restore.ts';

const DELAY = 20;
const BUCKET = 'bench';
const MORE_REQUESTS = 10;

export const slowStorage: Case = {
  id: 'P7',
  title: 'P7: S3 with 20 ms added to every request, 10,000 files',
  async run(bench) {
    const room = join(bench.room, 'slow');
    const directory = join(room, 'objects');
    rmSync(room, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const data = smallFiles(bench.room, bench.scaled(10_000));
    const s3 = await startS3({ dir: directory, logFile: join(room, 's3.log'), report: bench.options.note });
    const slow = await slowServer(s3.endpoint, DELAY);
    try {
      const { accessKeyId, secretAccessKey, region } = s3;
      const client = new S3Client({
        endpoint: s3.endpoint,
        region,
        credentials: { accessKeyId, secretAccessKey },
        forcePathStyle: true,
      });
      await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
      client.destroy();
      const bucket = { ...s3, endpoint: slow.endpoint, bucket: BUCKET, directory: join(directory, BUCKET) };
      const contenders = bench.contenders({ room, bucket }, bench.options.peers);
      const counts = new Map<string, Record<string, number>>();
      const counting = contenders.map((contender) => ({
        name: contender.name,
        version: contender.version,
        begin: (from: string) => contender.begin(from),
        keepNewest: (keep: number) => contender.keepNewest(keep),
        stored: () => contender.stored(),
        async backup() {
          slow.counted();
          const measured = await contender.backup();
          counts.set(`${contender.name} backup`, slow.counted());
          return measured;
        },
        async restore(to: string) {
          slow.counted();
          const measured = await contender.restore(to);
          counts.set(`${contender.name} restore`, slow.counted());
          return measured;
        },
      }));
      const figures = await bench.firstBackups(data, counting);
      bench.forget();
      const restored = await restores(bench, data, counting);
      for (const figure of figures) figure.requests = counts.get(`${figure.who} backup`)!;
      for (const figure of restored) figure.requests = counts.get(`${figure.who} restore`)!;
      const all = [...figures, ...restored];
      return { figures: all, goals: ['first backup', 'restore'].flatMap((what) => goals(all, what)) };
    } finally {
      await bench.closeIn(room);
      await slow.close();
      await s3.stop();
      rmSync(room, { recursive: true, force: true });
    }
  },
};

function goals(figures: readonly Figure[], what: string) {
  const [own, restic] = [figureOf(figures, 'homarus', what), figureOf(figures, 'restic', what)];
  if (!own || !restic) return [];
  const sum = (figure: Figure): number => Object.values(figure.requests ?? {}).reduce((all, count) => all + count, 0);
  return [
    atMost(`${what}, as restic and ${MORE_REQUESTS}`, sum(own), sum(restic) + MORE_REQUESTS, 'requests'),
    ...fasterThan(figures, 'restic', 1, what),
  ];
}
