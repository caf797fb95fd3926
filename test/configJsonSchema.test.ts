import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { configJsonSchema } from '../src/configJsonSchema.ts';

const page = new URL('../docs/homarus.schema.json', import.meta.url);

test('the JSON schema in docs is that of today', () => {
  const schema = configJsonSchema();
  if (process.env.HOMARUS_RECORD) writeFileSync(page, `${JSON.stringify(schema, null, 2)}\n`);
  expect(schema).toEqual(JSON.parse(readFileSync(page, 'utf8')));
});

test('it knows fields, what is needed, and refuses what is none', () => {
  expect(configJsonSchema()).toMatchObject({
    $schema: expect.stringContaining('json-schema.org'),
    additionalProperties: false,
    required: expect.arrayContaining(['cluster', 'storages', 'nodes']),
    properties: {
      lock: { properties: { ttl: { type: 'string' } } },
      schedules: { additionalProperties: expect.anything() },
    },
  });
});
