import { resolve } from 'node:path';
import { Option } from 'commander';
import { HomarusError } from '../domain/errors.ts';
import type { SecretSource } from '../storage/secret.ts';
import { SECRET_FIELDS } from '../storage/secret.ts';

/** Options that say where a secret is; with `prefix` `new`, `--new-passphrase-file` and so on. Never the secret itself. */
export const secretOptions = (prefix: '' | 'new-', what: string): Option[] => [
  new Option(`--${prefix}passphrase-file <file>`, `${what}: the passphrase in this file`),
  new Option(`--${prefix}passphrase-env <name>`, `${what}: the passphrase in this environment variable`),
  new Option(`--${prefix}passphrase-command <command>`, `${what}: the passphrase that this command prints`),
  new Option(`--${prefix}key-file <file>`, `${what}: this file of at least 32 random bytes`),
];

/** What of them was given, by the names that commander makes; undefined when nothing was. */
export function secretSource(
  options: Readonly<Record<string, unknown>>,
  prefix: '' | 'new-',
): SecretSource | undefined {
  const nameOf = (field: string) => (prefix === '' ? field : `new${field[0]?.toUpperCase()}${field.slice(1)}`);
  const given = SECRET_FIELDS.filter((field) => options[nameOf(field)] !== undefined);
  const [field, another] = given;
  if (field === undefined) return undefined;
  if (another !== undefined) {
    throw new HomarusError('BadInput', `${flag(prefix, field)} and ${flag(prefix, another)}: give one of them`);
  }
  const value = String(options[nameOf(field)]);
  return { [field]: field.endsWith('File') ? resolve(value) : value };
}

const flag = (prefix: string, field: string): string =>
  `--${prefix}${field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
