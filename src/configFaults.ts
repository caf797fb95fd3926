import type { ConfigFile } from './configFile.ts';

/** A fault of a configuration: where it is, and what would be right. */
export interface Fault {
  path: readonly PropertyKey[];
  message: string;
}

/** `nodes[1].root` */
export function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return text.replace(/^\./, '') || 'the file';
}

/** Fields that would hold a secret, and what to write in their place. */
const SECRETS: Readonly<Record<string, string>> = {
  apikey: 'apiKeyEnv or apiKeyFile',
  accesskeyid: 'accessKeyIdEnv',
  secretaccesskey: 'secretAccessKeyEnv',
  sessiontoken: 'sessionTokenEnv',
  password: 'the environment',
  passphrase: 'passphraseFile, passphraseEnv or passphraseCommand',
  key: 'keyFile',
  token: 'the environment',
  secret: 'the environment',
};

/** What stands in place of a field that would hold a secret; undefined for other fields. */
export const insteadOfSecret = (field: string): string | undefined =>
  Object.hasOwn(SECRETS, field.toLowerCase()) ? SECRETS[field.toLowerCase()] : undefined;

export function secretsIn(value: unknown, path: readonly PropertyKey[] = []): Fault[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) => {
    const at = [...path, Array.isArray(value) ? Number(key) : key];
    const instead = Array.isArray(value) ? undefined : insteadOfSecret(key);
    if (instead !== undefined) return [{ path: at, message: `secrets do not stand in this file; use ${instead}` }];
    return secretsIn(below, at);
  });
}

/** What no field shows by itself. */
export function contradictions(file: ConfigFile): Fault[] {
  return [
    ...storageFaults(file),
    ...nodeFaults(file),
    ...directoryFaults(file),
    ...timeFaults(file),
    ...scheduleFaults(file),
    ...apiFaults(file),
  ];
}

function storageFaults({ storages, defaultStorage }: ConfigFile): Fault[] {
  const names = Object.keys(storages);
  if (names.length === 0) return [{ path: ['storages'], message: 'name at least one storage' }];
  if (defaultStorage !== undefined && !names.includes(defaultStorage)) {
    return [{ path: ['defaultStorage'], message: `there is no storage of this name; there is ${names.join(', ')}` }];
  }
  if (defaultStorage === undefined && names.length > 1) {
    return [{ path: ['defaultStorage'], message: `is missing; choose one of ${names.join(', ')}` }];
  }
  return [];
}

function nodeFaults({ nodes }: ConfigFile): Fault[] {
  const faults: Fault[] = [];
  for (const [place, { id, roots }] of nodes.entries()) {
    const first = nodes.findIndex((other) => other.id === id);
    if (first < place)
      faults.push({ path: ['nodes', place, 'id'], message: `"${id}" is taken by nodes[${first}]; ids are unique` });
    if (!Array.isArray(roots)) continue;
    for (const [number, { name }] of roots.entries()) {
      if (roots.findIndex((other) => other.name === name) < number) {
        faults.push({
          path: ['nodes', place, 'roots', number, 'name'],
          message: `"${name}" is the name of another root of this node`,
        });
      }
    }
  }
  return faults;
}

function scheduleFaults({ schedules, storages, nodes }: ConfigFile): Fault[] {
  return Object.entries(schedules).flatMap(([name, schedule]) => {
    const faults: Fault[] = [];
    const { storage } = schedule;
    if (storage !== undefined && storages[storage] === undefined) {
      const known = Object.keys(storages).join(', ');
      faults.push({
        path: ['schedules', name, 'storage'],
        message: `there is no storage of this name; there is ${known}`,
      });
    }
    if (
      schedule.operation === 'drill' &&
      schedule.node !== undefined &&
      !nodes.some(({ id }) => id === schedule.node)
    ) {
      const known = nodes.map(({ id }) => id).join(', ');
      faults.push({ path: ['schedules', name, 'node'], message: `there is no node of this id; there is ${known}` });
    }
    return faults;
  });
}

interface Directory {
  path: readonly PropertyKey[];
  what: string;
  node: number;
  directory: string;
}

function directoryFaults({ nodes, storages }: ConfigFile): Fault[] {
  const faults: Fault[] = [];
  const roots = nodes.flatMap((node, place) => rootsOf(node, place));
  for (const one of roots) {
    for (const other of roots) {
      if (one === other) continue;
      // The same path on two nodes is the usual thing: they are two machines.
      const same =
        one.directory === other.directory && one.node === other.node && roots.indexOf(other) < roots.indexOf(one);
      if (same || isInside(one.directory, other.directory)) {
        faults.push({
          path: one.path,
          message: `${one.directory} is inside of ${other.what}, ${other.directory}; roots must not overlap`,
        });
        break;
      }
    }
  }
  for (const [name, storage] of Object.entries(storages)) {
    if (storage.type !== 'files') continue;
    for (const root of roots) {
      if (overlap(storage.path, root.directory)) {
        faults.push({
          path: ['storages', name, 'path'],
          message: `it and ${root.what}, ${root.directory}, overlap: the storage would back itself up`,
        });
        break;
      }
    }
  }
  for (const [place, { stateDir }] of nodes.entries()) {
    const root = roots.find(
      ({ directory }) => stateDir !== undefined && (directory === stateDir || isInside(directory, stateDir)),
    );
    if (root)
      faults.push({
        path: ['nodes', place, 'stateDir'],
        message: `it holds ${root.what}, ${root.directory}; give a directory of its own`,
      });
  }
  return faults;
}

function rootsOf({ id, root, roots }: ConfigFile['nodes'][number], node: number): Directory[] {
  const at = ['nodes', node];
  if (root !== undefined) return [{ path: [...at, 'root'], what: `the root of node ${id}`, node, directory: root }];
  const named = Array.isArray(roots)
    ? roots.map(({ name, path }, place) => ({ name, path, at: ['roots', place, 'path'] }))
    : Object.entries(roots ?? {}).map(([name, path]) => ({ name, path, at: ['roots', name] }));
  return named.map(({ name, path, at: below }) => ({
    path: [...at, ...below],
    what: `root ${name} of node ${id}`,
    node,
    directory: path,
  }));
}

const isInside = (path: string, directory: string): boolean =>
  path !== directory && path.startsWith(directory === '/' ? '/' : `${directory}/`);
const overlap = (a: string, b: string): boolean => a === b || isInside(a, b) || isInside(b, a);

function timeFaults({ lock, retention }: ConfigFile): Fault[] {
  const faults: Fault[] = [];
  const shorter = (field: 'refresh' | 'heartbeat' | 'throttle', most: number, than: string): void => {
    if (lock[field] > most)
      faults.push({ path: ['lock', field], message: `must be at most ${than}, ${most / 1000} s` });
  };
  shorter('refresh', lock.ttl / 3, 'a third of lock.ttl');
  shorter('heartbeat', lock.ttl / 2, 'half of lock.ttl');
  shorter('throttle', lock.heartbeat / 3, 'a third of lock.heartbeat');
  const { minimumBackups = 0, maximumBackups = Number.POSITIVE_INFINITY } = retention;
  if (minimumBackups > maximumBackups) {
    faults.push({
      path: ['retention', 'minimumBackups'],
      message: `must not be greater than maximumBackups, ${maximumBackups}`,
    });
  }
  return faults;
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;

function apiFaults({ api: { host, tokens } }: ConfigFile): Fault[] {
  const faults: Fault[] = [];
  if (tokens.length === 0 && !LOOPBACK.test(host)) {
    faults.push({
      path: ['api', 'host'],
      message:
        'without api.tokens everybody who reaches the facade may restore and delete: give tokens ("homarus token create" makes them), or 127.0.0.1 or ::1',
    });
  }
  for (const [place, { name }] of tokens.entries()) {
    const first = tokens.findIndex((other) => other.name === name);
    if (first < place)
      faults.push({ path: ['api', 'tokens', place, 'name'], message: `"${name}" is taken by api.tokens[${first}]` });
  }
  return faults;
}
