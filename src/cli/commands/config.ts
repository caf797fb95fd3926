import { showConfig } from '../../config.ts';
import type { Spec } from '../command.ts';

const check: Spec = {
  usage: 'check',
  summary: 'Read the configuration and name all its faults at once',
  example: 'homarus config check --config /etc/homarus.yaml',
  async run(context) {
    const { cluster, nodes } = await context.config();
    const file = context.configFile();
    return {
      result: { file, cluster, nodes: nodes.length },
      text: `${file}: cluster ${cluster}, ${nodes.length} nodes, no fault`,
    };
  },
};

const show: Spec = {
  usage: 'show',
  summary: 'Show the configuration with all defaults filled in; it holds no secret',
  example: 'homarus config show',
  async run(context) {
    const shown = showConfig(await context.config());
    return { result: shown, text: JSON.stringify(shown, null, 2) };
  },
};

const schema: Spec = {
  usage: 'schema',
  summary: 'Print the JSON schema of the configuration, for editors',
  example: 'homarus config schema > homarus.schema.json',
  async run() {
    const { configJsonSchema } = await import('../../configJsonSchema.ts');
    const document = configJsonSchema();
    return { result: document, text: JSON.stringify(document, null, 2) };
  },
};

export const configCommands = {
  name: 'config',
  summary: 'Check or show the configuration',
  commands: [check, show, schema],
};
