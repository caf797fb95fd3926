import { expect, test } from '@jest/globals';
import { ofVersions } from '../../src/cli/doctor.ts';
import { version } from '../../src/version.ts';

test('workers of another version are told, and how an upgrade goes; those of which Temporal tells nothing are not', () => {
  expect(ofVersions([version, null, version], '3 at work')).toEqual({
    state: 'well',
    detail: `3 at work, version ${version}`,
  });
  expect(ofVersions([version, '0.0.8', '0.0.9', '0.0.9'], '4 at work')).toMatchObject({
    state: 'unsure',
    detail: `4 at work, version 0.0.8, 0.0.9; this is ${version}`,
    mend: expect.stringContaining('coordinators first'),
  });
});
