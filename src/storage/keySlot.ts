import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { slotNote, slotShape } from '../domain/documentShapes.ts';
import { HomarusError } from '../domain/errors.ts';
import { blake3 } from './hash.ts';
import { derive, KEY_BYTES } from './sealing.ts';
import type { Secret } from './secret.ts';

/**
 * A key slot: the master key of a repository, wrapped by a passphrase or a key file. docs/format.md, section 7. Readable by
 * whoever reads the storage, so it tells nothing but how the secret is stretched.
 */
export interface KeySlot {
  version: 1;
  kdf: ScryptCost & { name: 'scrypt' | 'hkdf-sha256'; salt: string };
  /** AES-256-GCM of master key and hash of `repository.json`, hex. */
  wrapped: string;
  /** AES-256-GCM of what people say of it, under the master key, hex. */
  about: string;
}

/** Of scrypt (RFC 7914). */
export interface ScryptCost {
  n?: number;
  r?: number;
  p?: number;
}

/** What people want to know of a slot. */
export interface SlotNote {
  label: string;
  by: string;
  at: string;
}

/** In the slot with it: the hash of the rest of the slot, so that who holds the master key sees what is damaged. */
interface StoredNote extends SlotNote {
  check?: string;
}

/** What a slot holds: 32 bytes each. */
export interface SlotContent {
  master: Buffer;
  /** Hash of `repository.json`. */
  parameters: Buffer;
}

/** Which slot of which repository: what its ciphertexts are bound to. */
export interface SlotPlace {
  /** Hex. */
  repository: string;
  key: string;
}

/** OWASP's first choice for scrypt: 128 MiB of memory, half a second on one core. */
export const SCRYPT_COST = { n: 2 ** 17, r: 8, p: 1 } as const;
/** A slot that asks for more is not honoured: whoever writes to the storage must not exhaust us. */
const MOST_N = 2 ** 20;
const MOST_R = 32;
const MOST_P = 16;
const SALT_BYTES = 32;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';
/** Each key that it is used with seals one thing. */
const NONCE = Buffer.alloc(12);

export async function makeSlot(
  place: SlotPlace,
  secret: Secret,
  content: SlotContent,
  note: SlotNote,
  cost: ScryptCost = SCRYPT_COST,
): Promise<KeySlot> {
  const salt = randomBytes(SALT_BYTES);
  const name = secret.kind === 'passphrase' ? 'scrypt' : 'hkdf-sha256';
  const kdf: KeySlot['kdf'] = { name, ...(name === 'scrypt' ? cost : {}), salt: salt.toString('hex') };
  const wrapped = encrypt(await stretch(kdf, secret), place, Buffer.concat([content.master, content.parameters]));
  const rest = { kdf, wrapped: wrapped.toString('hex') };
  const stored: StoredNote = { ...note, check: checkOf(rest) };
  const about = encrypt(noteKey(content.master, kdf), place, Buffer.from(JSON.stringify(stored)));
  return { version: 1, ...rest, about: about.toString('hex') };
}

/** What is in the slot; undefined when the secret does not open it. */
export async function openSlot(place: SlotPlace, slot: KeySlot, secret: Secret): Promise<SlotContent | undefined> {
  if (slotKind(slot) !== secret.kind) return undefined;
  const content = decrypt(await stretch(slot.kdf, secret), place, slot.wrapped);
  if (content?.length !== 2 * KEY_BYTES) return undefined;
  return { master: content.subarray(0, KEY_BYTES), parameters: content.subarray(KEY_BYTES) };
}

/** Undefined when it is no slot of the repository with this master key, or is damaged. */
export function readSlotNote(place: SlotPlace, slot: KeySlot, master: Uint8Array): SlotNote | undefined {
  const stored = decrypt(noteKey(master, slot.kdf), place, slot.about);
  const said = stored && jsonIn(stored);
  if (slotNote(said, '') !== undefined) return undefined;
  const { check, ...note } = said as StoredNote;
  return check === undefined || check === checkOf(slot) ? note : undefined;
}

const checkOf = ({ kdf, wrapped }: Pick<KeySlot, 'kdf' | 'wrapped'>): string => {
  const { name, n = 0, r = 0, p = 0, salt } = kdf;
  return blake3.hash([Buffer.from([name, n, r, p, salt, wrapped].join(' '))]).toString('hex');
};

export const slotKind = ({ kdf }: KeySlot): Secret['kind'] => (kdf.name === 'scrypt' ? 'passphrase' : 'keyFile');

/** `ObjectDamaged` for what is no slot, `RepositoryIncompatible` for one of a newer version. */
export function parseSlot({ key }: SlotPlace, stored: Buffer): KeySlot {
  const slot = jsonIn(stored);
  const { version } = (slot ?? {}) as { version?: unknown };
  if (version !== undefined && version !== 1) {
    throw new HomarusError('RepositoryIncompatible', `${key} has version ${version}; this homarus reads version 1`);
  }
  const fault = slotShape(slot, '');
  if (fault !== undefined) throw new HomarusError('ObjectDamaged', `${key} is damaged: it is not a key slot: ${fault}`);
  const { kdf } = slot as KeySlot;
  const { n, r, p } = kdf.name === 'scrypt' ? (kdf as Required<ScryptCost>) : { n: 2, r: 1, p: 1 };
  if (n < 2 || r < 1 || p < 1 || !Number.isInteger(Math.log2(n))) {
    throw new HomarusError(
      'ObjectDamaged',
      `${key} is damaged: it is not a key slot: scrypt takes no N=${n}, r=${r}, p=${p}`,
    );
  }
  if (n > MOST_N || r > MOST_R || p > MOST_P) {
    throw new HomarusError('ObjectDamaged', `${key} is damaged: it asks for scrypt with N=${n}, r=${r}, p=${p}`);
  }
  return slot as KeySlot;
}

/** Undefined for what is not JSON. */
function jsonIn(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    return undefined;
  }
}

async function stretch(kdf: KeySlot['kdf'], { bytes }: Secret): Promise<Buffer> {
  const salt = Buffer.from(kdf.salt, 'hex');
  if (kdf.name === 'hkdf-sha256') return derive(bytes, salt, 'key file');
  const { n, r, p } = kdf as Required<ScryptCost>;
  // What scrypt takes, and a little.
  const maxmem = 128 * r * (n + p + 1) + 1024 * 1024;
  return (await promisify<Buffer, Buffer, number, object, Buffer>(scrypt)(bytes, salt, KEY_BYTES, {
    N: n,
    r,
    p,
    maxmem,
  })) as Buffer;
}

const noteKey = (master: Uint8Array, { salt }: KeySlot['kdf']): Buffer =>
  derive(master, Buffer.from(salt, 'hex'), 'key slot note');

const contextOf = ({ repository, key }: SlotPlace): Buffer =>
  Buffer.concat([Buffer.from(repository, 'hex'), Buffer.from(key, 'latin1')]);

function encrypt(key: Buffer, place: SlotPlace, content: Buffer): Buffer {
  const cipher = createCipheriv(CIPHER, key, NONCE).setAAD(contextOf(place));
  return Buffer.concat([cipher.update(content), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Buffer, place: SlotPlace, hex: string): Buffer | undefined {
  const stored = Buffer.from(hex, 'hex');
  if (stored.length < TAG_BYTES) return undefined;
  const end = stored.length - TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, NONCE).setAAD(contextOf(place)).setAuthTag(stored.subarray(end));
  try {
    return Buffer.concat([decipher.update(stored.subarray(0, end)), decipher.final()]);
  } catch {
    return undefined;
  }
}
