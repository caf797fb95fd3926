import { Option } from 'commander';
import type { Reading } from '../../client/reading.ts';
import type { RootKeys } from '../../domain/documents.ts';
import { HomarusError } from '../../domain/errors.ts';
import type { CleanupRequest } from '../../domain/requests.ts';
import type { ListedSlot } from '../../storage/keyChanges.ts';
import { addSlot, listSlots, removeSlot, rotateDataKey } from '../../storage/keyChanges.ts';
import { readSecret } from '../../storage/secret.ts';
import { seenByCoordinator } from '../../workers/settings.ts';
import { confirm } from '../ask.ts';
import type { Spec } from '../command.ts';
import type { Context } from '../context.ts';
import { operate } from '../operate.ts';
import { size, storageOption, waitOptions, yesOption } from '../options.ts';
import { secretOptions, secretSource } from '../secretOptions.ts';
import { table } from '../terminal.ts';

interface Options {
  storage?: string;
}

const list: Spec<Options> = {
  usage: 'list',
  summary: 'Show the key slots, and which data key is used',
  options: [storageOption()],
  example: 'homarus key list',
  async run(context, { storage }) {
    const reading = await context.reading(storage);
    const slots = await listSlots(reading.repository, reading.at);
    const { generation, rewriteBelow = null } = reading.at.root.keys as RootKeys;
    const lines = [slotTable(slots), `new packs are sealed with data key ${generation}`];
    if (rewriteBelow !== null) {
      lines.push(
        `what data keys below ${rewriteBelow} seal is to be rewritten: by the next cleanup, or by "homarus key rotate --reencrypt"`,
      );
    }
    return { result: { slots, generation, rewriteBelow }, text: lines.join('\n') };
  },
};

const add: Spec<Options & { label?: string }> = {
  usage: 'add',
  summary: 'Add a key slot: another passphrase or key file that opens the repository',
  options: [
    ...secretOptions('new-', 'the new key'),
    new Option('--label <text>', 'what it is called'),
    storageOption(),
  ],
  example: 'homarus key add --new-key-file /etc/homarus/key --label "sealed envelope"',
  async run(context, { storage, label = '', ...options }) {
    const source = secretSource(options, 'new-');
    if (source === undefined) {
      throw new HomarusError('BadInput', 'no new key is named', {
        hint: 'Give --new-passphrase-file, --new-passphrase-env, --new-passphrase-command or --new-key-file.',
      });
    }
    const secret = await readSecret(source);
    const { repository } = await changing(context, storage);
    const id = await addSlot(repository, secret, { label, by: context.who });
    return { result: { id, kind: secret.kind, label }, text: `key slot ${id} was added` };
  },
};

const remove: Spec<Options & { yes?: boolean }, [string]> = {
  usage: 'remove <slot>',
  summary: 'Remove a key slot; the last one stays',
  details:
    'Whoever read the storage before and knows the passphrase can still open what he copied. Processes that have opened the ' +
    'repository go on until they are restarted.',
  options: [storageOption(), yesOption()],
  example: 'homarus key remove 0f5b2a6c9d3e1f74',
  async run(context, { storage, yes }, id) {
    const { repository, at } = await changing(context, storage);
    const slot = (await listSlots(repository, at)).find((one) => one.id === id);
    const own = slot?.used ? '\nIt is the one that this configuration opens the repository with.' : '';
    if (slot) await confirm(context.terminal, `This removes a key slot:\n${slotTable([slot])}${own}`, yes);
    await removeSlot(repository, id, { by: context.who });
    return { result: { id }, text: `key slot ${id} was removed` };
  },
};

interface RotateOptions extends Options {
  reencrypt?: boolean;
  maxRepackBytes?: number;
  waitForLock?: number;
  wait: boolean;
}

const rotate: Spec<RotateOptions> = {
  usage: 'rotate',
  summary: 'Begin a new data key: what is stored from now on is sealed with it',
  details:
    'What is stored stays readable as it is; no key slot changes. With --reencrypt it is rewritten, too, by a cleanup that ' +
    'removes no backup. When that is stopped, the next cleanup goes on, and so does the same command: it begins no other key then.',
  options: [
    new Option('--reencrypt', 'also rewrite all that former data keys seal'),
    new Option('--max-repack-bytes <size>', 'rewrite no more than this now, e.g. 10GiB').argParser(size),
    storageOption(),
    ...waitOptions(),
  ],
  example: 'homarus key rotate --reencrypt',
  async run(context, { storage, reencrypt = false, ...options }) {
    const { repository, at } = await changing(context, storage);
    const unfinished = reencrypt && at.root.keys?.rewriteBelow !== undefined;
    const generation = unfinished
      ? (at.root.keys?.generation as number)
      : await rotateDataKey(repository, { by: context.who, reencrypt });
    const text = `new packs are sealed with data key ${generation} from now on`;
    if (!reencrypt) return { result: { generation }, text };
    context.output.note(unfinished ? `going on: packs are rewritten with data key ${generation}` : text);
    const answer = await operate(context, 'cleanup', reencryption(storage, options), options);
    return { ...answer, result: { generation, ...(answer.result as object) } };
  },
};

/** A cleanup that removes no backup; unlike others it moves as much as it takes. */
function reencryption(storage: string | undefined, options: Omit<RotateOptions, 'storage'>): CleanupRequest {
  const { maxRepackBytes = null, waitForLock } = options;
  return {
    backups: [],
    rewrite: { maxRepackBytes },
    ...(storage === undefined ? {} : { storage }),
    ...(waitForLock === undefined ? {} : { waitForLock }),
  };
}

export const keyCommands = {
  name: 'key',
  summary: 'Show and change the keys of an encrypted repository',
  commands: [list, add, remove, rotate],
};

/** For a change, which is not made on a state that somebody put back. */
async function changing(context: Context, storage: string | undefined): Promise<Reading> {
  const reading = await context.reading(storage);
  await seenByCoordinator(await context.config()).refuseOlder(reading.repository, reading.at);
  return reading;
}

const slotTable = (slots: readonly ListedSlot[]): string =>
  table(
    ['slot', 'kind', 'added', 'by', 'label', ''],
    slots.map(({ id, kind, at, by, label, used }) => [
      id,
      kind === 'keyFile' ? 'key file' : 'passphrase',
      at.replace(/\.\d+Z$/, 'Z') || '-',
      by || '-',
      label || '-',
      used ? 'in use' : '',
    ]),
  );
