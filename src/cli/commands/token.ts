import { Option } from 'commander';
import type { Role } from '../../api/tokens.ts';
import type { Spec } from '../command.ts';

const create: Spec<{ name: string; role: Role }> = {
  usage: 'create',
  summary: 'Make a token for the facade: it is shown once, and the configuration holds its hash alone',
  details: 'It reads and changes nothing: put the lines that it prints into the configuration, and restart the facade.',
  options: [
    new Option('--name <name>', 'whose it is: the name stands in the log and in operations').makeOptionMandatory(),
    new Option('--role <role>', 'read: look at everything; operate: also start, cancel, pin and delete')
      .choices(['read', 'operate'])
      .makeOptionMandatory(),
  ],
  example: 'homarus token create --name grafana --role read',
  async run(_, { name, role }) {
    const { newToken } = await import('../../api/tokens.ts');
    const made = newToken(name, role);
    const text = [
      `The token, which is not shown again:  ${made.token}`,
      '',
      'Its hash, for the configuration:',
      'api:',
      '  tokens:',
      `    - { name: ${name}, role: ${role}, sha256: ${made.sha256} }`,
    ].join('\n');
    return { result: made, text };
  },
};

export const tokenCommands = { name: 'token', summary: 'Tokens of the facade', commands: [create] };
