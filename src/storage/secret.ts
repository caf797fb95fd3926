import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { HomarusError } from '../domain/errors.ts';

/** Where a secret is that opens a repository's key slots: one of these. Never the secret itself. */
export interface SecretSource {
  /** Text; line ends at its end do not count. */
  passphraseFile?: string | undefined;
  /** Name of an environment variable. */
  passphraseEnv?: string | undefined;
  /** For `/bin/sh`; what it prints is the passphrase. */
  passphraseCommand?: string | undefined;
  /** Random bytes, at least 32. */
  keyFile?: string | undefined;
}

export interface Secret {
  readonly kind: 'passphrase' | 'keyFile';
  readonly bytes: Buffer;
}

/** In the order in which they are asked. */
export const SECRET_FIELDS = ['passphraseFile', 'passphraseEnv', 'passphraseCommand', 'keyFile'] as const;

const KEY_FILE_BYTES = 32;
const MOST_BYTES = 64 * 1024;
const COMMAND_TIMEOUT = 60_000;

/** For messages: `the passphrase in /etc/homarus/passphrase`. */
export function describeSecret({ passphraseFile, passphraseEnv, passphraseCommand, keyFile }: SecretSource): string {
  if (passphraseFile !== undefined) return `the passphrase in ${passphraseFile}`;
  if (passphraseEnv !== undefined) return `the passphrase in the environment variable ${passphraseEnv}`;
  if (passphraseCommand !== undefined) return 'the passphrase that the command prints';
  return `the key file ${keyFile}`;
}

/** `KeyMissing` says why there is none. */
export async function readSecret(source: SecretSource): Promise<Secret> {
  const { passphraseEnv, passphraseCommand, keyFile } = source;
  const refuse = (why: string): never => {
    throw new HomarusError('KeyMissing', `${describeSecret(source)} cannot be had: ${why}`);
  };
  let bytes: Buffer;
  try {
    if (passphraseEnv !== undefined) bytes = Buffer.from(process.env[passphraseEnv] ?? '');
    else if (passphraseCommand !== undefined) bytes = await printedBy(passphraseCommand);
    else bytes = await readFile((source.passphraseFile ?? keyFile) as string);
  } catch (error) {
    return refuse(reasonOf(error));
  }
  if (bytes.length > MOST_BYTES) refuse(`it is longer than ${MOST_BYTES} bytes`);
  if (keyFile !== undefined) {
    if (bytes.length < KEY_FILE_BYTES)
      refuse(`it has ${bytes.length} bytes; give at least ${KEY_FILE_BYTES} random ones`);
    return { kind: 'keyFile', bytes };
  }
  const passphrase = Buffer.from(bytes.toString('latin1').replace(/[\r\n]+$/, ''), 'latin1');
  if (passphrase.length === 0) refuse('it is empty');
  return { kind: 'passphrase', bytes: passphrase };
}

async function printedBy(command: string): Promise<Buffer> {
  const options = { encoding: 'buffer', timeout: COMMAND_TIMEOUT, maxBuffer: 2 * MOST_BYTES } as const;
  return (await promisify(execFile)('/bin/sh', ['-c', command], options)).stdout;
}

/** Without what a command printed: that may be the secret. */
function reasonOf(error: unknown): string {
  const { code, killed, syscall, message } = error as NodeJS.ErrnoException & { killed?: boolean };
  if (killed) return `the command was ended after ${COMMAND_TIMEOUT / 1000} s, or printed too much`;
  if (typeof code === 'number') return `the command ended with code ${code}`;
  return syscall === undefined ? (code ?? 'it failed') : message;
}
