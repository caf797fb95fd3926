import { Option } from 'commander';
import type { Spec } from '../command.ts';

export const demo: Spec<{ keep?: boolean }> = {
  usage: 'demo',
  summary: 'See a throw-away cluster backed up, destroyed and restored on this machine',
  details: 'It gets a Temporal server if there is none here, which may take some minutes the first time.',
  options: [new Option('--keep', 'leave the cluster running, and say how to use and stop it')],
  example: 'homarus demo --keep',
  async run(context, { keep = false }) {
    const { runDemo } = await import('../demo.ts');
    return runDemo({ keep, note: (text) => context.output.note(text), interrupted: context.interruption() });
  },
};

export const dev: Spec = {
  usage: 'dev',
  summary:
    'Run Temporal, a coordinator, the facade and all nodes of the configuration on this machine, for development',
  details:
    'Temporal listens where temporal.address of the configuration says, which must be on 127.0.0.1; on a free port without it.',
  example: 'homarus dev --config homarus.yaml',
  async run(context) {
    const { runDev } = await import('../dev.ts');
    return runDev(await context.config(), context.configFile(), (text) => context.output.note(text));
  },
};
