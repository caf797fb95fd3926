import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { WorkerOptions } from '@temporalio/worker';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { HomarusError } from '../domain/errors.ts';
import { flowFile, type PluginRef } from '../plugins/load.ts';

/** The workflows as one file: made once by the build, so that a coordinator starts at once. */
const built = new URL('../workflows.bundle.js', import.meta.url);
const isSource = import.meta.url.endsWith('.ts');

type Source = Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'>;

/** From the build's bundle; bundled now when run from source, or with the flow of a plugin from outside. */
export async function workflowSource({ name, folder }: PluginRef): Promise<Source> {
  if (folder !== undefined) return { workflowBundle: { code: await bundleWithPlugin(name, folder) } };
  if (isSource) return { workflowsPath: workflowsPath() };
  return { workflowBundle: { codePath: fileURLToPath(built) } };
}

const workflowsPath = (): string =>
  fileURLToPath(new URL(isSource ? '../workflows/index.ts' : '../workflows/index.js', import.meta.url));

/** `ConfigInvalid` when its flow cannot stand in a workflow. */
async function bundleWithPlugin(name: string, folder: string): Promise<string> {
  try {
    return await bundleWorkflows(flowFile(folder));
  } catch (cause) {
    throw new HomarusError(
      'ConfigInvalid',
      `the flow of plugin ${name} in ${folder} cannot be bundled with the workflows: ${(cause as Error).message}`,
      { hint: 'flow.js must do no I/O and import nothing but workflow-safe files beside it.', cause },
    );
  }
}

/** `outside`: the flow of a plugin from outside, which then stands where `plugins/outside.ts` is imported. */
async function bundleWorkflows(outside?: string): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: workflowsPath(),
    logger: new DefaultLogger(outside === undefined ? 'WARN' : 'ERROR'),
    ...(outside === undefined
      ? {}
      : {
          webpackConfigHook: (config) => ({ ...config, plugins: [...(config.plugins ?? []), standIn(outside)] }),
        }),
  });
  return code;
}

/** Structure of webpack's, which is not ours to import. */
interface Compiler {
  hooks: {
    normalModuleFactory: {
      tap(
        name: string,
        factory: (factory: {
          hooks: { beforeResolve: { tap(name: string, seen: (data: { request: string }) => void): void } };
        }) => void,
      ): void;
    };
  };
}

const standIn = (file: string) => ({
  apply(compiler: Compiler): void {
    compiler.hooks.normalModuleFactory.tap('homarus', ({ hooks }) => {
      hooks.beforeResolve.tap('homarus', (data) => {
        if (/^[.][/]outside[.](ts|js)$/.test(data.request)) data.request = file;
      });
    });
  },
});

/** The bundle carries a source map, which names files where they were on the machine that built it, with their text. */
function withoutTheMachine(code: string): string {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  return code.replace(/(?<=[#] sourceMappingURL=data:[^,]+;base64,)[\w+/=]+/, (base64) => {
    const {
      sourcesContent: _,
      sources,
      ...map
    } = JSON.parse(Buffer.from(base64, 'base64').toString()) as {
      sources: string[];
      sourcesContent?: string[];
    };
    const named = sources.map((file) => file.replaceAll(root, ''));
    return Buffer.from(JSON.stringify({ ...map, sources: named })).toString('base64');
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(built, withoutTheMachine(await bundleWorkflows()));
}
