import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
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
  const stack = await startStack({ config, configFile, directory, report: note, api: true });
  try {
    const { address, namespace, uiUrl } = stack.temporal;
    note(`Temporal ${address}, namespace ${namespace}, UI ${uiUrl}`);
    note(`Facade http://${config.api.host}:${config.api.port}, logs in ${directory}`);
    note(`In another terminal:  TEMPORAL_ADDRESS=${address} homarus status --config ${configFile}`);
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
