import { expect, test } from '@jest/globals';
import { cronFault } from '../../src/domain/cron.ts';

test.each([
  '0 3 * * *',
  '*/10 0-6,22 1,15 * mon-fri',
  '0 0 * jan,JUL 0',
  '59 23 31 12 7',
  ' 0  3 * * * ',
  '0/5 * * * *',
  '@daily',
])('"%s" is a time', (text) => {
  expect(cronFault(text)).toBeUndefined();
});

test.each([
  ['0 3 * *', /has 4 fields: give minute, hour/],
  ['0 0 3 * * *', /has 6 fields/],
  ['60 3 * * *', /"60" is no minute: give numbers from 0 to 59/],
  ['0 24 * * *', /"24" is no hour/],
  ['0 3 0 * *', /"0" is no day of the month/],
  ['0 3 * 13 *', /"13" is no month/],
  ['0 3 * * 8', /"8" is no day of the week/],
  ['0 3 * * mon-sun', /"mon-sun" is no day of the week/],
  ['0 5-3 * * *', /"5-3" is no hour/],
  ['*/0 3 * * *', /"\*\/0" is no minute/],
  ['0 3 * * *-5', /"\*-5" is no day/],
  ['0 3,, * * *', /"" is no hour/],
  ['@every 1h', /has 2 fields/],
  ['@reboot', /has 1 fields/],
])('"%s" is refused, naming the part', (text, fault) => {
  expect(cronFault(text)).toMatch(fault);
});
