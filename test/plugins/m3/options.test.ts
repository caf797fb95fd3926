import { describe, expect, test } from '@jest/globals';
import { parseConfig } from '../../../src/config.ts';
import { instanceOf, type M3Options } from '../../../src/plugins/m3/options.ts';

const node = { endpoint: 'db1:9000' };
function parsed(options: object): M3Options {
  const config = {
    cluster: 'c',
    storages: { main: { type: 'files', path: '/backups' } },
    nodes: ['a', 'b'].map((id) => ({ id, az: `az-${id}`, root: `/db/${id}` })),
    plugin: {
      name: 'm3',
      options: { etcd: { endpoints: ['http://e:2379'] }, nodes: { a: node, b: node }, ...options },
    },
  };
  return parseConfig(JSON.stringify(config), 'homarus.json').plugin.options as M3Options;
}

describe('the options of m3', () => {
  test('name an instance for each node; what is not given is taken from the node and its endpoint', () => {
    const options = parsed({ nodes: { a: node, b: { id: 'x', endpoint: '[::1]:1', hostname: 'h', port: 1 } } });
    expect(options).toMatchObject({ environment: 'default_env', service: 'm3db' });
    expect(instanceOf(options, { id: 'a', az: '' })).toEqual({ id: 'a', endpoint: 'db1:9000', hostname: 'db1' });
    const b = { id: 'x', endpoint: '[::1]:1', hostname: 'h', port: 1, isolationGroup: 'z' };
    expect(instanceOf(options, { id: 'b', az: 'z' })).toEqual(b);
    expect(instanceOf(options, { id: 'c', az: '' })).toBeUndefined();
  });

  test.each([
    [{ nodes: { a: node } }, 'plugin.options.nodes.b: is missing; each node is an instance'],
    [{ nodes: { a: node, b: node, c: node } }, 'plugin.options.nodes.c: there is no node of this id'],
    [
      { nodes: { a: node, b: { ...node, id: 'a' } } },
      'plugin.options.nodes.b: "a" is the instance of node a; ids are unique',
    ],
    [{ nodes: { a: node, b: { endpoint: 'db1' } } }, 'plugin.options.nodes.b.endpoint: give the address'],
    [{ nodes: { a: node, b: { ...node, port: 0 } } }, 'plugin.options.nodes.b.port: '],
    [{ environment: 'a/b' }, 'plugin.options.environment: give a name without "/"'],
    [{ etcd: { endpoints: ['http://e:1'], user: 'u' } }, 'plugin.options.etcd.user: user goes with passwordEnv'],
    [{ etcd: { endpoints: [] } }, 'plugin.options.etcd.endpoints: name at least one endpoint'],
  ])('%j is refused with the path of the field', (options, fault) => {
    expect(() => parsed(options)).toThrow(fault);
  });
});
