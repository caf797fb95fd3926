import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import picomatch from 'picomatch';
import { parse } from 'yaml';
import { commands } from '../src/cli/commands.ts';
import { type Config, loadConfig } from '../src/config.ts';

/** docker-compose.yml, the image and the configuration that they use belong together. (Docker itself is not needed for that.) */

interface Service {
  image: string;
  build?: string;
  command?: string[];
  entrypoint?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
}

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (name: string): string => readFileSync(join(root, name), 'utf8');
const compose = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const services = Object.entries(compose.services);
/** Those that run a command of ours. */
const ours = services.filter(([, { image, entrypoint }]) => image === 'homarus:local' && entrypoint === undefined);
const names = commands.flatMap((group) =>
  group.commands.map((entry) => ('usage' in entry ? entry.usage.split(' ')[0] : entry.name)),
);
const option = (command: readonly string[], name: string): string | undefined =>
  command.includes(name) ? command[command.indexOf(name) + 1] : undefined;

async function configOf({ command = [], environment }: Service): Promise<Config> {
  for (const [name, value] of Object.entries(environment ?? {})) process.env[name] = value;
  return loadConfig(join(root, option(command, '--config') as string));
}

test('what the services run are commands, and every part of the cluster is among them, once', async () => {
  const commandLines = ours.map(([, { command = [] }]) => command);
  for (const [command] of commandLines) expect(names).toContain(command);
  const { nodes } = await configOf((ours[0] as [string, Service])[1]);
  const parts = commandLines.map(([command, ...rest]) => [command, option(rest, '--node')].filter(Boolean).join(' '));
  expect(parts.sort()).toEqual(['init', 'coordinator', 'api', ...nodes.map(({ id }) => `node ${id}`)].sort());
});

test('each has the configuration, with the variables that it names and the data root of its node', async () => {
  for (const [, service] of ours) {
    const { storages, nodes } = await configOf(service);
    const credentials = storages.main?.type === 's3' ? storages.main.credentials : undefined;
    const wanted = Object.values(credentials ?? {});
    expect(wanted.length).toBeGreaterThan(0);
    for (const variable of wanted) expect(Object.keys(service.environment ?? {})).toContain(variable);
    const id = option(service.command ?? [], '--node');
    const [data] = nodes.find((node) => node.id === id)?.roots ?? [];
    expect((service.volumes ?? []).map((volume) => volume.split(':')[1])).toEqual(data ? [data.path] : []);
  }
});

test('what it talks to is a service, on the port that this one has', async () => {
  const config = await configOf((ours[0] as [string, Service])[1]);
  const { temporal, 'temporal-ui': ui, s3, api } = compose.services;
  expect(config.temporal.address).toBe('temporal:7233');
  expect(temporal?.ports).toEqual(['127.0.0.1:7233:7233']);
  const { main } = config.storages;
  expect(main?.type === 's3' && main.endpoint).toBe(`http://s3${s3?.environment?.VGW_PORT}`);
  const { host, port, tokens, temporalUi } = config.api;
  expect([host, api?.ports]).toEqual(['0.0.0.0', [`127.0.0.1:${port}:${port}`]]);
  expect(api?.healthcheck?.test.join(' ')).toContain(`http://127.0.0.1:${port}/health`);
  expect(ui?.ports).toEqual([`${new URL(temporalUi as string).host}:8080`]);
  const [, token] = /with the token (\S+)/.exec(read('docker-compose.yml')) ?? [];
  expect(tokens).toEqual([
    {
      name: 'demo',
      role: 'operate',
      sha256: createHash('sha256')
        .update(token as string)
        .digest('hex'),
    },
  ]);
});

test('services and volumes that are named are there', () => {
  const volumes = services.flatMap(([, { volumes: mounted = [] }]) => mounted.map((one) => one.split(':')[0]));
  expect([...new Set(volumes)].sort()).toEqual(Object.keys(compose.volumes).sort());
  for (const [name, { depends_on = {} }] of services) {
    for (const [other, { condition }] of Object.entries(depends_on)) {
      expect([name, Object.keys(compose.services)]).toEqual([name, expect.arrayContaining([other])]);
      if (condition === 'service_healthy') expect(compose.services[other]?.healthcheck).toBeDefined();
    }
  }
});

test('what the image copies from the checkout is there, and is let through to it', () => {
  const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, from]) =>
    (from as string).split(' '),
  );
  expect(copied.length).toBeGreaterThan(5);
  const through = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'));
  const isLetThrough = picomatch(through.map((line) => line.slice(1)));
  for (const path of copied) {
    expect(existsSync(join(root, path))).toBe(true);
    expect([path, isLetThrough(path)]).toEqual([path, true]);
  }
  for (const [, { command }] of ours) expect(copied).toContain(option(command ?? [], '--config')?.split('/')[0]);
});
