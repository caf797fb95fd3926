import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { createApi } from '../../src/api/server.ts';
import { GivenApi } from './given.ts';

/** HOMARUS_RECORD=1 writes it anew: a change of the interface is a change of this file. */
const golden = new URL('../golden/openapi.json', import.meta.url);

test('the OpenAPI document is the one that was agreed on', async () => {
  const app = createApi((await GivenApi.create()).deps());
  const document = (await app.inject('/openapi.json')).json();
  await app.close();
  document.info.version = '0.0.0';
  if (process.env.HOMARUS_RECORD) writeFileSync(golden, `${JSON.stringify(document, null, 2)}\n`);
  expect(document).toEqual(JSON.parse(readFileSync(golden, 'utf8')));
});
