import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { errorTable } from '../../src/domain/errors.ts';

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
const sections = [...page.matchAll(/^### (.*)\n\n(.*)/gm)].map(([, title, text]) => ({ title, text }));

describe('the page for operators', () => {
  test.each(Object.keys(errorTable))('says what happened and what to do at %s', (code) => {
    const section = sections.find(({ title }) => title === code);
    expect(section?.text?.length).toBeGreaterThan(60);
  });

  test('has a section for each error, in the order of the table, and for nothing that is none', () => {
    expect(sections.map(({ title }) => title)).toEqual(Object.keys(errorTable));
  });
});

test('the page of the command line has each exit code once, with all errors that end in it', () => {
  const cli = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const rows = [...cli.matchAll(/^\| (\d+) \| (.*) \|$/gm)].map(([, exit, text = '']) => ({
    exit: Number(exit),
    codes: [...text.matchAll(/`(\w+)`/g)].map(([, code]) => code).sort(),
  }));
  const told = rows.filter(({ codes }) => codes.length > 0);
  expect(new Set(told.map(({ exit }) => exit)).size).toBe(told.length);
  for (const { exit, codes } of told) {
    const ending = Object.entries(errorTable).filter(([, row]) => row.exit === exit);
    expect({ exit, codes }).toEqual({ exit, codes: ending.map(([code]) => code).sort() });
  }
  expect(told.flatMap(({ codes }) => codes).length).toBe(Object.keys(errorTable).length);
});
