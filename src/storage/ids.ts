import { randomBytes } from 'node:crypto';
import { padded } from '../domain/documents.ts';

/** 16 random hex digits. */
export const randomPart = (): string => randomBytes(8).toString('hex');

/** Id of a manifest, an index or a mark. It is used once: what is rebuilt gets a new one. */
export const newId = (epoch: number): string => `${padded(epoch)}-${randomPart()}`;

export const newPackId = (epoch: number): string => `${padded(epoch)}/${randomPart()}`;

const EPOCH_IN_KEY = /^(?:(?:packs|indexes|staging|leases)\/|manifests\/[^/~]+~)(\d{16})(?=[-/]|$)/;

/** The epoch that an object bears in its key; undefined for what is not ours. */
export function epochOf(key: string): number | undefined {
  const digits = EPOCH_IN_KEY.exec(key)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
