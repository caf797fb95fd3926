import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { HomarusError } from '../domain/errors.ts';
import { startStack } from './devStack.ts';
import type { Answer } from './output.ts';

/** Serves the whole cluster of a configuration on this machine, with a Temporal server of its own, until it is told to stop. */
export async function runDev(config: Config, configFile: string, note: (text: string) => void): Promise<Answer> {
  const directory = join(config.dataDir, 'dev');
  mkdirSync(directory, { recursive: true });
  for (const { roots } of config.nodes) for (const { path } of roots) mkdirSync(path, { recursive: true });
  const stopping = new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve()).once('SIGTERM', () => resolve());
  });
  const port = portOf(config);
  const stack = await startStack({ config, configFile, directory, report: note, api: true, port });
  try {
    const { address, namespace, uiUrl } = stack.temporal;
    note(`Temporal ${address}, namespace ${namespace}, UI ${uiUrl}`);
    note(`Facade http://${config.api.host}:${config.api.port}, logs in ${directory}`);
    const given = port === undefined ? `TEMPORAL_ADDRESS=${address} ` : '';
    note(`In another terminal:  ${given}homarus status --config ${configFile}`);
    note('Ctrl-C stops it all.');
    const ended = stack.processes.map(
      async (child) => `${child.name} ${await child.exited}; its log is ${child.logFile}`,
    );
    const first = await Promise.race([stopping, ...ended]);
    if (typeof first === 'string') note(first);
  } finally {
    await stack.stop();
  }
  return { result: { stopped: true } };
}

/** Where the processes and commands of this configuration look for Temporal; undefined: where the environment says. */
function portOf({ temporal: { address } }: Config): number | undefined {
  if (address === undefined) return undefined;
  const [, port] = /^(?:127\.0\.0\.1|localhost):(\d+)$/.exec(address) ?? [];
  if (port !== undefined) return Number(port);
  throw new HomarusError('ConfigInvalid', `temporal.address: dev runs a Temporal server of its own, not ${address}`, {
    hint: 'Give 127.0.0.1:PORT, or leave temporal.address out.',
  });
}
