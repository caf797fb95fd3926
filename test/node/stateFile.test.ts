import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { count, record, text } from '../../src/domain/shape.ts';
import { dropScratch } from '../../src/node/drill.ts';
import { claimStateDir, incarnationOf } from '../../src/node/identity.ts';
import { NodeLease } from '../../src/node/lease.ts';
import { SourceReader } from '../../src/node/sources.ts';
import { readState, writeState } from '../../src/node/stateFile.ts';
import { UploadJournal } from '../../src/node/uploadJournal.ts';
import { blake3 } from '../../src/storage/hash.ts';
import { notesIn } from '../../src/workers/notes.ts';

/** Files of a state directory that somebody else has written, or a disk has damaged. */

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'homarus-state-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const at = (name: string): string => join(directory, name);
const strange = ['', '{"gra', 'null', '7', '[]', '{}', '{"grant":-1,"holder":"me","expires":0,"ttl":0}', '{"pid":"1"}'];

test('what is written is read again, and what has another shape is not there', () => {
  const shape = record({ number: count, name: text });
  const fits = (value: unknown): boolean => shape(value, '') === undefined;
  fc.assert(
    fc.property(fc.oneof(fc.record({ number: fc.nat(), name: fc.string() }), fc.jsonValue()), (value) => {
      writeState(at('state.json'), value);
      expect(readState(at('state.json'), shape)).toEqual(fits(value) ? value : undefined);
    }),
  );
});

describe.each(strange)('a file that holds %j', (content) => {
  test('as a lease is no lease: the node is free, and grants', async () => {
    writeFileSync(at('lease.json'), content);
    const lease = new NodeLease(directory, 'n1');
    try {
      expect(lease.holder).toBeNull();
      const attempt = { operation: 'nightly', run: 'r/1', kind: 'backup', by: 'cron', since: '2026-01-01' } as const;
      expect(await lease.acquire(attempt, 60_000)).toBe(1);
    } finally {
      lease.close();
    }
    const again = new NodeLease(directory, 'n1');
    expect(again.holder?.operation).toBe('nightly');
    again.close();
  });

  test('as an incarnation is none: that of the other directory stands, and is written anew', () => {
    const links = at('links');
    const known = incarnationOf(directory, [links]);
    writeFileSync(at('incarnation.json'), content);
    expect(incarnationOf(directory, [links])).toBe(known);
    expect(JSON.parse(readFileSync(at('incarnation.json'), 'utf8'))).toEqual({ incarnation: known });
  });

  test('as the process that works here is none: the next one claims the directory', () => {
    writeFileSync(at('process.json'), content);
    claimStateDir(directory, 'n1');
    expect(JSON.parse(readFileSync(at('process.json'), 'utf8'))).toMatchObject({ pid: process.pid });
  });

  test('as the note of a drill removes nothing', async () => {
    writeFileSync(at('drill.json'), content);
    await dropScratch(directory);
    expect(readFileSync(at('drill.json'), 'utf8')).toBe(content);
  });

  test('as the note of a plugin is none', () => {
    writeFileSync(at('plugin-files.json'), content);
    expect(notesIn(directory, 'files').read()).toBeUndefined();
  });

  test('as the sources of a snapshot says that there are none', () => {
    writeFileSync(at('sources.json'), content);
    expect(() => new SourceReader(directory)).toThrow(`${directory} holds no snapshot`);
  });
});

test('a record of a journal that is whole and says something else ends what is believed', () => {
  const pack = { id: '0000000000000001/0123456789abcdef', length: 10, footer: 5, chunks: 1 };
  const journal = new UploadJournal(at('uploaded'));
  journal.append({ ref: pack, raw: 7, entries: Buffer.from('entries') });
  journal.close();
  const head = Buffer.from(JSON.stringify({ ref: { ...pack, id: '../../elsewhere' }, raw: 7 }));
  const frame = Buffer.alloc(16);
  frame.writeUInt32LE(head.length, 0);
  blake3.hash([head]).copy(frame, 8, 0, 8);
  appendFileSync(at('uploaded'), Buffer.concat([frame, head]));
  const again = new UploadJournal(at('uploaded'));
  expect([...again.packs()].map(({ ref }) => ref)).toEqual([pack]);
  again.append({ ref: { ...pack, length: 11 }, raw: 8, entries: Buffer.from('more') });
  expect([...again.packs()].map(({ raw }) => raw)).toEqual([7, 8]);
  again.close();
});
