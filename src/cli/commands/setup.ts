import { Option } from 'commander';
import { HomarusError } from '../../domain/errors.ts';
import { createRepository } from '../../storage/create.ts';
import { makePlace, openStore } from '../../storage/openStore.ts';
import type { Spec } from '../command.ts';
import { storageOption } from '../options.ts';
import { secretOptions, secretSource } from '../secretOptions.ts';

export const init: Spec<{ storage?: string; encrypt?: boolean; label?: string }> = {
  usage: 'init',
  summary: 'Create the repository of the cluster in a storage',
  details:
    'It proves first that the storage keeps its word: of racing writers one wins, and what was written is listed. It is ' +
    'encrypted where the configuration gives the storage an "encryption", or with --encrypt. Whoever loses all keys of an ' +
    'encrypted repository has lost it.',
  options: [
    storageOption(),
    new Option('--encrypt', 'encrypt it: with the key that the configuration names, or that one of these does'),
    ...secretOptions('', 'its key'),
    new Option('--label <text>', 'what the key slot is called'),
  ],
  example: 'homarus init --encrypt --passphrase-file /etc/homarus/passphrase',
  async run(context, { storage, encrypt = false, label = '', ...options }) {
    const { cluster } = await context.config();
    const settings = await context.storage(storage);
    const given = secretSource(options, '');
    const encryption = given ?? settings.encryption;
    if (encrypt && encryption === undefined) {
      throw new HomarusError('KeyMissing', '--encrypt: no key is named', {
        hint: 'Give --passphrase-file, --passphrase-env, --passphrase-command or --key-file, or "encryption" of the storage.',
      });
    }
    if (!encrypt && given !== undefined) {
      throw new HomarusError('BadInput', 'a key is given for a repository that is not to be encrypted', {
        hint: 'Give --encrypt, too.',
      });
    }
    await makePlace(settings);
    const store = await openStore(settings);
    try {
      const { repository } = await createRepository(store, { cluster, encryption, label, by: context.who });
      const { id } = repository.parameters;
      const encrypted = repository.unlocked !== undefined;
      if (encrypted && settings.encryption === undefined) {
        const name = await context.storageName(storage);
        context.output.note(`note: nothing works with it until the configuration has storages.${name}.encryption`);
      }
      return {
        result: { storage: await context.storageName(storage), repository: id, cluster, encrypted },
        text: `${store.description} holds the ${encrypted ? 'encrypted ' : ''}repository of cluster ${cluster} now (${id})`,
      };
    } finally {
      await store.close();
    }
  },
};
