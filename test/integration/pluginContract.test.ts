import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type PluginGiven, pluginContract, type Room } from '../support/pluginContract.ts';
import { filesOf, secret, writeFiles } from '../support/pluginData.ts';

/** Plugins that need no server, ours and the one of examples/. */

const files: PluginGiven = {
  plugin: () => ({ name: 'files' }),
  ...{ secret, write: writeFiles, state: filesOf, left: () => [] },
  ...{ leaves: false, checks: false, stops: 0 },
};

const inRoom = (room: Room, what: string, node: string): string => join(room.directory, `${what}-${node}`);

/** Its database can be frozen and stopped, and is told so only with the secret. */
const commands: PluginGiven = {
  plugin({ directory }) {
    const hash = createHash('sha256').update(secret.value).digest('hex');
    const asked = `printf %s "$${secret.name}" | sha256sum | grep -q ${hash}`;
    const withSecret = (line: string) => ({ shell: `${asked} && ${line}` });
    return {
      name: 'commands',
      options: {
        beforeSnapshot: [withSecret(`touch ${directory}/frozen-$HOMARUS_NODE`)],
        afterSnapshot: [withSecret(`rm -f ${directory}/frozen-$HOMARUS_NODE`)],
        beforeRestore: [{ shell: `touch ${directory}/stopped-$HOMARUS_NODE` }],
        afterRestore: [{ shell: `rm -f ${directory}/stopped-$HOMARUS_NODE` }],
        check: [{ command: ['grep', 'round', `${directory}/nodes/n1/data`], on: 'n1' }],
        passEnv: [secret.name],
      },
    };
  },
  ...{ secret, write: writeFiles },
  state: (room) => [filesOf(room), ...room.nodes.map((node) => existsSync(inRoom(room, 'stopped', node)))],
  left: (room, node) => ['frozen'].filter((what) => existsSync(inRoom(room, what, node))),
  ...{ leaves: true, checks: true, stops: 20 },
};

const ledger: PluginGiven = {
  plugin: () => ({
    name: 'ledger',
    package: fileURLToPath(new URL('../../examples/plugin', import.meta.url)),
    options: { holdFile: 'pause' },
  }),
  ...{ secret, write: writeFiles, state: filesOf },
  left: (room, node) => ['pause'].filter((name) => existsSync(join(room.root(node), name))),
  ...{ leaves: true, checks: true, stops: 10 },
};

pluginContract('files', files);
pluginContract('commands', commands);
pluginContract('the plugin of the examples', ledger);
