import type { Reading } from '../../client/reading.ts';
import { HomarusError } from '../../domain/errors.ts';

/** What routes do with what they were asked. */

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the fields that were not given. */
export const given = <T extends object>(asked: T): Defined<T> =>
  Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)) as Defined<T>;

/** `ForeignRepository` unless the repository is this cluster's: others are only read. */
export function own(reading: Reading, cluster: string): Reading {
  const { parameters, store } = reading.repository;
  if (parameters.cluster === cluster) return reading;
  throw new HomarusError(
    'ForeignRepository',
    `${store.description} holds the repository of cluster "${parameters.cluster}", not of "${cluster}"`,
  );
}
