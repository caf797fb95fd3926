import { z } from 'zod';
import { configFile } from './configFile.ts';

/** The configuration as a JSON schema, for editors that complete and check while one types. */
export function configJsonSchema(): object {
  const schema = z.toJSONSchema(configFile, {
    io: 'input',
    unrepresentable: 'any',
    override({ jsonSchema, path }) {
      // It is that of the machine on which this runs.
      if (path.at(-1) === 'threads') delete jsonSchema.default;
    },
  });
  return {
    ...schema,
    $id: 'https://homarus.invalid/schema/configuration.json',
    title: 'The configuration of Homarus',
  };
}
