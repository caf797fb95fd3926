import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { configReference } from './support/configReference.ts';

const page = new URL('../docs/configuration.md', import.meta.url);
const MARK = /(<!-- fields: .*? -->\n\n)(.*)$/s;

test('the list of all fields in docs is that of today', () => {
  const reference = configReference();
  const text = readFileSync(page, 'utf8');
  if (process.env.HOMARUS_RECORD)
    writeFileSync(
      page,
      text.replace(MARK, (_, mark) => mark + reference),
    );
  expect(MARK.exec(readFileSync(page, 'utf8'))?.[2]).toBe(reference);
});

test('it has defaults as operators write them, and what must be given', () => {
  const rows = configReference().split('\n');
  expect(rows).toContain('| `lock.ttl` | a duration such as 90s, 5m, 1h or 2d | `2m` |');
  expect(rows).toContain('| `cleanup.maxUnused` | a share such as 5% | `5%` |');
  expect(rows).toContain('| `nodes[].id` | a name | must be given |');
  expect(rows).toContain('| `parallelism.ionice` | `idle`; or 0 to 7 |  |');
});

test('what each field means is told before', () => {
  const told = readFileSync(page, 'utf8').replace(MARK, '');
  const names = [...configReference().matchAll(/^\| `([^`]+)`/gm)].map(([, path]) =>
    (path as string).split('.').at(-1),
  );
  const untold = new Set(names.filter((name) => name !== '<name>' && !new RegExp(`\\b${name}\\b`).test(told)));
  // Told in groups: "keepWithinHourly … keepWithinYearly".
  for (const between of ['keepWithinDaily', 'keepWithinWeekly', 'keepWithinMonthly']) untold.delete(between);
  expect([...untold]).toEqual([]);
});
