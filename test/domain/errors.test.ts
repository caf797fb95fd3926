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
