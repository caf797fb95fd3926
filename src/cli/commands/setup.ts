import { createRepository } from '../../storage/create.ts';
import { makePlace, openStore } from '../../storage/openStore.ts';
import type { Spec } from '../command.ts';
import { storageOption } from '../options.ts';

export const init: Spec<{ storage?: string }> = {
  usage: 'init',
  summary: 'Create the repository of the cluster in a storage',
  details:
    'It proves first that the storage keeps its word: of racing writers one wins, and what was written is listed.',
  options: [storageOption()],
  example: 'homarus init',
  async run(context, { storage }) {
    const { cluster } = await context.config();
    const settings = await context.storage(storage);
    await makePlace(settings);
    const store = openStore(settings);
    try {
      const { repository } = await createRepository(store, { cluster });
      const { id } = repository.parameters;
      return {
        result: { storage: await context.storageName(storage), repository: id, cluster },
        text: `${store.description} holds the repository of cluster ${cluster} now (${id})`,
      };
    } finally {
      await store.close();
    }
  },
};
