import { Option } from 'commander';
import { HomarusError } from '../../domain/errors.ts';
import type { Spec } from '../command.ts';
import type { Context } from '../context.ts';
import { collect } from '../options.ts';
import type { Answer } from '../output.ts';
import type { Parts } from '../processes.ts';

/** They serve until SIGTERM or SIGINT comes; their log is on stderr. */
async function serve(context: Context, parts: Parts): Promise<Answer> {
  const { runParts } = await import('../processes.ts');
  await runParts(await context.config(), parts);
  return { result: { stopped: true } };
}

const ownNode = (): Option =>
  new Option('--node <id>', 'the node of the configuration that this machine is').argParser(collect);

async function nodesOf(context: Context, given: string[] | undefined): Promise<string[]> {
  const { nodes } = await context.config();
  if (given !== undefined) return given;
  const [only, another] = nodes;
  if (only && !another) return [only.id];
  throw new HomarusError('BadInput', `--node: say which node this machine is: ${nodes.map(({ id }) => id).join(', ')}`);
}

export const run: Spec<{ node?: string[] }> = {
  usage: 'run',
  summary: 'Be a node, a coordinator and the facade in one process: the usual way on a database host',
  options: [ownNode()],
  example: 'homarus run --node db1',
  run: async (context, { node: given }) =>
    serve(context, { nodes: await nodesOf(context, given), coordinator: true, api: true }),
};

export const node: Spec<{ node?: string[] }> = {
  usage: 'node',
  summary: "Be a node: take snapshots, upload, restore, hold the node's part of the lock",
  options: [ownNode()],
  example: 'homarus node --node db1',
  run: async (context, { node: given }) =>
    serve(context, { nodes: await nodesOf(context, given), coordinator: false, api: false }),
};

export const coordinator: Spec = {
  usage: 'coordinator',
  summary: 'Run the workflows and what sees the whole cluster; any number may, on any machine',
  example: 'homarus coordinator',
  run: (context) => serve(context, { nodes: [], coordinator: true, api: false }),
};

export const api: Spec = {
  usage: 'api',
  summary: 'Serve the REST facade',
  example: 'homarus api',
  run: (context) => serve(context, { nodes: [], coordinator: false, api: true }),
};
